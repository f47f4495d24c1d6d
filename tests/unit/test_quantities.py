"""Kubernetes quantities as numbers."""

from decimal import Decimal

import pytest

from components.quantities import GIB, MIB, bytes_of, parse


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("0", "0"),
        ("2", "2"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("250m", "0.25"),
        ("1k", "1000"),
        ("2G", "2000000000"),
        ("1Ki", "1024"),
        ("2Gi", "2147483648"),
        ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
        ("2e3", "2000"),
        ("2E3", "2000"),
        ("25e-2", "0.25"),
    ],
)
def test_a_quantity_is_the_number_that_kubernetes_reads(quantity: str, number: str) -> None:
    assert parse(quantity) == Decimal(number)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.5Gi", "1536Mi"), ("0.5Ti", "512Gi"), ("1Gi", "1073741824"), ("1000m", "1"), ("1G", "1e9"), ("0.1", "100m")],
)
def test_equal_quantities_in_other_units_are_equal(one: str, other: str) -> None:
    assert parse(one) == parse(other)


@pytest.mark.parametrize(
    "text", ["", "Gi", ".", "1GB", "1gi", "1 Gi", " 1Gi", "1Gi\n", "-1Gi", "1e", "1e3Gi", "1,5Gi", "0x10", "NaN"]
)
def test_a_text_that_is_no_quantity_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a quantity such as 512Mi, 1\.5Gi or 250m$"):
        parse(text)


@pytest.mark.parametrize(("quantity", "size"), [("1.5Gi", 3 * GIB // 2), ("0.5Mi", MIB // 2), ("1500m", 1)])
def test_memory_and_disk_are_whole_bytes(quantity: str, size: int) -> None:
    assert bytes_of(quantity) == size
