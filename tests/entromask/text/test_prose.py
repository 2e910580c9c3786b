"""Prose is kept; programs, tables, grammar and headings are not."""

from __future__ import annotations

from entromask.text.prose import paragraphs


def test_lines_of_a_paragraph_are_joined_and_markup_is_removed() -> None:
    text = "Return the *largest* of\n    its ``values``, as :func:`max` does, see :mod:`~a.b`."
    assert paragraphs(text) == ["Return the largest of its values, as max does, see a.b."]


def test_names_with_underscores_stay_whole() -> None:
    assert paragraphs("Calls the method __init__ and then _run_once of it.") == [
        "Calls the method __init__ and then _run_once of it."
    ]


def test_list_items_are_paragraphs_of_their_own() -> None:
    text = "- the first of the items\n  goes on here\n- the second of the items\n1. a third one"
    assert paragraphs(text) == [
        "the first of the items goes on here",
        "the second of the items",
        "a third one",
    ]


def test_what_is_no_prose_is_left_out() -> None:
    text = """Naming and binding
******************

The text before the example stays:

>>> add(1, 2)
3
>>> this is a doctest and not prose

+--------+---------------------------+
| a cell | with words that are prose |
+========+===========================+

   stmt ::= "assert" expression ["," expression]

.. versionadded:: three of these words

x = y(1), z[2] + 3

too short

The text after the example stays."""
    assert paragraphs(text) == [
        "The text before the example stays:",
        "The text after the example stays.",
    ]
