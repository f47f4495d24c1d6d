"""Kubernetes quantities: `1.5Gi` and `1536Mi` are the same size."""

import re
from decimal import Decimal

MIB, GIB = 2**20, 2**30
# apimachinery, resource.Quantity: a decimal number, and a binary or decimal suffix or an exponent.
_QUANTITY = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<suffix>[KMGTPE]i|[mkMGTPE]|[eE][+-]?[0-9]+)?")
_BINARY = {f"{letter}i": Decimal(2) ** (10 * power) for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {letter: Decimal(10) ** (3 * power) for power, letter in enumerate("kMGTPE", 1)}
_FACTORS = {"": Decimal(1), "m": Decimal("0.001"), **_BINARY, **_DECIMAL}


def parse(quantity: str) -> Decimal:
    """The number that a quantity stands for: bytes, or CPU cores.

    Raises:
        ValueError: It is not a quantity.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity} is not a quantity such as 512Mi, 1.5Gi or 250m")
    suffix = match["suffix"] or ""
    if suffix in _FACTORS:
        return Decimal(match["number"]) * _FACTORS[suffix]
    return Decimal(f"{match['number']}{suffix}")


def bytes_of(quantity: str) -> int:
    """A quantity of memory or disk in whole bytes.

    Raises:
        ValueError: It is not a quantity.
    """
    return int(parse(quantity))
