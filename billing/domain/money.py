"""Exact numbers and money: decimal text in and out, ISO 4217 currencies, and the one place where money is rounded.

Quantities travel as integers scaled by 10**12 (`SCALE`), prices as fractions, amounts as decimals of the currency's
exponent. Nothing here is ever a float.
"""

import re
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Final

PLACES = 12
"""Decimals that a quantity may have, and that a quotient is shown with."""
SCALE: Final[int] = 10**PLACES
DIGITS_MAX = 64
"""Digits that a decimal text may have: more is a mistake or an attack, and refused before it is read."""

_EXACT = Context(prec=10_000, traps=[Inexact])
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CLF
CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF
IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT
MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS
VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
_OTHER_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
CURRENCY_EXPONENTS = dict.fromkeys(_CODES.split(), 2) | {
    code: exponent for exponent, codes in _OTHER_EXPONENTS.items() for code in codes.split()
}
"""ISO 4217: decimals of each currency's amounts."""


def parse_decimal(text: str) -> Fraction:
    """The exact value of a decimal text like `-12.50`: no exponent, no sign but minus, at most DIGITS_MAX characters.

    Raises:
        ValueError: the text is not such a number.
    """
    if len(text) > DIGITS_MAX:
        raise ValueError(f"must have at most {DIGITS_MAX} digits")
    if not _DECIMAL.fullmatch(text):
        raise ValueError('must be a decimal number as text, for example "0.25"')
    return Fraction(text)


def round_half_up(value: Fraction | int, places: int) -> int:
    """`value` times 10**places, rounded to a whole number; halves go away from zero. `places` may be negative."""
    numerator, denominator = value.numerator, value.denominator
    if places >= 0:
        numerator *= 10**places
    else:
        denominator *= 10**-places
    whole = (2 * abs(numerator) + denominator) // (2 * denominator)
    return int(whole if numerator >= 0 else -whole)


def to_amount(minor: int, exponent: int) -> Decimal:
    """The decimal of so many minor units, exactly: 1234 at exponent 2 is 12.34."""
    return Decimal(minor).scaleb(-exponent, _EXACT)


def round_amount(value: Fraction | int, currency: str) -> Decimal:
    """An exact amount rounded once, half up, to the decimals of its currency."""
    exponent = CURRENCY_EXPONENTS[currency]
    return to_amount(round_half_up(value, exponent), exponent)


def plain(value: Decimal | Fraction | int, places: int = PLACES) -> str:
    """Plain decimal text: no exponent, no needless zeros, at most `places` decimals (half up)."""
    text = _fixed(round_half_up(Fraction(value), places), places)
    return text.rstrip("0").rstrip(".") if places > 0 else text


def amount_text(value: Decimal | Fraction | int, currency: str) -> str:
    """An amount of money as text: at least the currency's own decimals, never rounded below 12: `12.30`, `0.00002`."""
    text = plain(value)
    exponent = CURRENCY_EXPONENTS[currency]
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(exponent, '0')}" if decimals or exponent else whole


def quantity_text(scaled: int) -> str:
    """The text of a quantity that is scaled by 10**12."""
    text = _fixed(scaled, PLACES)
    return text.rstrip("0").rstrip(".")


def _fixed(scaled: int, places: int) -> str:
    if places == 0:
        return str(scaled)
    digits = str(abs(scaled)).rjust(places + 1, "0")
    return f"{'-' if scaled < 0 else ''}{digits[:-places]}.{digits[-places:]}"
