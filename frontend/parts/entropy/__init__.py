"""The parts of the entropy page: models to choose, the token heat map, masks of presets."""
