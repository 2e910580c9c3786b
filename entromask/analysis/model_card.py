"""The model card of a run's model folder."""

from __future__ import annotations

from entromask.spec import RunSpec


def model_card(spec: RunSpec) -> str:
    """Markdown with the Hub's metadata: what the model is, and the spec that made it."""
    masking = spec.masking.preset or f"{spec.masking.score} ({spec.masking.select})"
    return f"""---
library_name: transformers
pipeline_tag: fill-mask
tags: [entromask, masked-lm]
---

# {spec.name}

A masked language model, pretrained with **{masking}** masking (seed {spec.seed}).

Load it with `transformers.AutoModelForMaskedLM.from_pretrained` and
`transformers.AutoTokenizer.from_pretrained`. Its scores are in the run's `results.json`.

## How it was made

```yaml
{spec.to_yaml().strip()}
```
"""
