"""The people of the story: 212 customers in three languages, none of them real.

Telephone numbers come from the simulated ranges, addresses from domains set aside for examples (RFC 2606). One
number has no phone behind it, so that person is told by mail; one mailbox does not exist, which is reported by a mail
that comes back, and that person has no telephone, so nobody reaches them: coverage on a bad night is not a hundred
percent, and the board says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from notifier.standins.outcomes import ordinary_numbers, simulated_number

_CHINESE = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗",
    ("秀英", "伟", "芳", "娜", "敏", "静", "强", "磊", "洋", "艳", "勇", "军"),
)
_VIETNAMESE = (
    ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Phan", "Vũ", "Đặng", "Bùi", "Đỗ"),
    ("Thị Hoa", "Văn Minh", "Thu Hà", "Quốc Anh", "Ngọc Lan", "Đức Long", "Thanh Mai"),
)
_ENGLISH = (
    ("Anna", "Ben", "Clara", "David", "Ella", "Felix", "Greta", "Henry", "Ida", "Jonas"),
    ("Becker", "Fischer", "Hartley", "Keller", "Morris", "Novak", "Price", "Weber"),
)

CHINESE, VIETNAMESE, ENGLISH = 132, 46, 34
BAD_NUMBER = "unknown-handset"
BOUNCING = "late-bounce-5.1.1"


@dataclass(frozen=True, slots=True)
class Person:
    """A row of the audience."""

    name: str
    phone: str
    email: str
    language: str
    country: str


def people() -> list[Person]:
    """All 212, in the order of the file."""
    return [*_chinese(), *_vietnamese(), *_english()]


def audience_csv() -> bytes:
    """The audience as the operator would upload it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(("name", "phone", "email", "language", "country"))
    writer.writerows(astuple(person) for person in people())
    return out.getvalue().encode()


def _chinese() -> Iterator[Person]:
    family, given = _CHINESE
    numbers = ordinary_numbers("CN")
    for n in range(CHINESE):
        name = family[n % len(family)] + given[(n * 7 + n // len(family)) % len(given)]
        phone = simulated_number(BAD_NUMBER, "CN") if n == 17 else next(numbers)
        # Every third gave no mail address.
        yield Person(name, phone, f"kehu{n:03d}@example.com" if n % 3 != 0 else "", "zh-Hans", "CN")


def _vietnamese() -> Iterator[Person]:
    family, given = _VIETNAMESE
    numbers = ordinary_numbers("VN")
    for n in range(VIETNAMESE):
        name = f"{family[n % len(family)]} {given[(n * 3 + n // len(family)) % len(given)]}"
        yield Person(name, next(numbers), f"khach{n:02d}@example.net" if n % 2 else "", "vi", "VN")


def _english() -> Iterator[Person]:
    given, family = _ENGLISH
    numbers = ordinary_numbers("GB")
    for n in range(ENGLISH):
        name = f"{given[n % len(given)]} {family[(n * 3 + n // len(given)) % len(family)]}"
        if n == 11:
            yield Person(name, "", f"{BOUNCING}@example.org", "en", "DE")
        elif n % 2:
            # Half of the English-speaking customers left only a mail address.
            yield Person(name, "", f"customer{n:02d}@example.org", "en", "DE")
        else:
            yield Person(name, next(numbers), f"customer{n:02d}@example.org", "en", "DE")
