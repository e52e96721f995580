"""RFC 3339 in and out."""

from datetime import UTC, datetime

import pytest

from billing.domain.timestamps import instant_text, parse_time_us, time_text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T11:00:00Z", datetime(2026, 11, 23, 11, tzinfo=UTC)),
        ("2026-11-23t11:00:00z", datetime(2026, 11, 23, 11, tzinfo=UTC)),
        ("2026-11-23T11:00:00.5Z", datetime(2026, 11, 23, 11, 0, 0, 500_000, UTC)),
        ("2026-11-23T11:00:00.123456999Z", datetime(2026, 11, 23, 11, 0, 0, 123_456, UTC)),
        ("2026-11-23T11:00:00+05:45", datetime(2026, 11, 23, 5, 15, tzinfo=UTC)),
        ("2026-11-23T11:00:00.25-08:00", datetime(2026, 11, 23, 19, 0, 0, 250_000, UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2024-02-29T00:00:00-00:00", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_times_become_microseconds(text: str, moment: datetime) -> None:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time_us(text) == (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026-11-23", "2026-11-23T11:00:00", "2026-11-23 11:00:00Z", "2026-11-23T11:00Z", "2026-02-29T00:00:00Z"),
        *("2026-11-23T24:00:00Z", "2026-11-23T11:60:00Z", "2026-11-23T11:00:61Z", "2026-13-01T00:00:00Z"),
        *("2026-11-23T11:00:00+24:00", "2026-11-23T11:00:00+0100", "2026-11-23T11:00:00.Z", "2026-11-23T11:00:00.1ZZ"),
        *(
            "2026-11-23T11:00:00,5Z",
            "٢026-11-23T11:00:00Z",
            "2026-11-23T11:00:00.²Z",
            "2026-11-23T11:00:00." + "1" * 41 + "Z",
        ),
        *("0000-01-01T00:00:00Z", "12026-11-23T11:00:00Z", "2026-11-23T11:00:00Z\n", "2026-11-23T11:00:00+05:00Z"),
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_time_us(text)


def test_texts_are_utc_with_z_and_a_fraction_only_if_there_is_one() -> None:
    assert time_text(1_795_777_200_000_000) == "2026-11-27T11:00:00Z"
    assert time_text(1_795_777_200_000_001) == "2026-11-27T11:00:00.000001Z"
    assert instant_text(0) == "1970-01-01T00:00:00Z"
    assert parse_time_us(time_text(-1)) == -1
