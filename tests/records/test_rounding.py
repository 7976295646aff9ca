"""Digits by error."""

import math

import pytest

from handful.records.rounding import rounded, with_error


@pytest.mark.parametrize(
    ("value", "error", "digits", "text"),
    [
        (5.4321, 0.31, ".2f", "5.4 ± 0.3"),
        (5.4321, 0.12, ".2f", "5.43 ± 0.12"),
        (0.052341, 0.0012, ".3f", "0.0523 ± 0.0012"),
        (-0.0012, 0.004, ".3f", "-0.001 ± 0.004"),
        (123.4, 21.3, ".1f", "123 ± 21"),
        (0.0234, 0.0048, ".1%", "2.3% ± 0.5%"),
        (0.34, 0.015, ".0%", "34.0% ± 1.5%"),
        (5.4321, None, ".2f", "5.43"),
        (5.4321, 0.0, ".1f", "5.4"),
        (5.4321, math.inf, ".1f", "5.4"),
        (1.0, None, ".1%", "100.0%"),
    ],
)
def test_a_value_has_the_digits_that_its_error_allows(value, error, digits, text):
    assert with_error(value, error, digits) == text
    assert rounded(value, error, digits) == text.split(" ± ")[0]
