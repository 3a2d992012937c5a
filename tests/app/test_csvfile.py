"""CSV files into orders, or into errors by line."""

from __future__ import annotations

import pytest

from app import csvfile
from app.validation import InvalidInputError

HEADER = "order,customer,sku,quantity,unit_price\n"


def errors_of(text: str) -> list[str]:
    """Parse a bad file and give its errors as text."""
    with pytest.raises(InvalidInputError) as caught:
        csvfile.parse(text)
    return [str(error) for error in caught.value.errors]


def test_rows_of_one_order_become_its_lines():
    """Rows with the same order reference, next to each other or not, are one order."""
    orders = csvfile.parse(HEADER + 'a,"Ada, Ltd",TEA,2,1.50\nb,Bob,TEA,1,1.5\n\na,"Ada, Ltd",CUP,1,4\n')
    assert [(order.customer, len(order.lines), order.total_cents) for order in orders] == [
        ("Ada, Ltd", 2, 700),
        ("Bob", 1, 150),
    ]


def test_a_spreadsheet_file_is_read():
    """A byte order mark and Windows line ends do no harm."""
    content = b"\xef\xbb\xbf" + (HEADER + "a,Zoë,TEA,1,2\n").replace("\n", "\r\n").encode()
    (order,) = csvfile.parse(csvfile.decode(content))
    assert order.customer == "Zoë"


def test_all_errors_are_named_by_line():
    """Each bad value is named with its line, field, value and what is allowed."""
    assert errors_of(HEADER + "a,Ada,TEA,0,1\nb,Bob,bad sku,1,1.999\nc\n") == [
        "line 2, quantity: got '0', want an integer from 1 to 10000",
        "line 3, sku: got 'bad sku', want 1 to 64 letters, digits, dots, dashes or underscores",
        "line 3, unit_price: got '1.999', want a price from 0 to 9999999.99 with at most two decimals",
        "line 4, row: got 'c', want 5 values, one for each of order,customer,sku,quantity,unit_price",
    ]


def test_the_line_is_where_the_row_ends_in_the_file():
    """A quoted line break does not shift the lines that errors name."""
    assert errors_of(HEADER + '"a\nb",Ada,TEA,1,1\nc,Cy,TEA,x,1\n')[-1].startswith("line 4, quantity: got 'x'")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("", "line 1, header: got '', want exactly the columns", id="empty"),
        pytest.param("sku,price\n", "line 1, header: got 'sku,price'", id="other-columns"),
        pytest.param(HEADER, "line 1, file: got nothing, want at least one row", id="header-only"),
        pytest.param(HEADER + 'a,"Ada', "line 2, file: got 'unexpected end of data', want well-formed CSV", id="quote"),
        pytest.param(
            HEADER + "a,Ada,TEA,1,1\na,Bob,TEA,1,1\n",
            "line 3, customer: got 'Bob', want the customer that order 'a' began with: 'Ada'",
            id="two-customers",
        ),
    ],
)
def test_a_bad_file_is_refused(text, error):
    """A file that cannot be read as orders is refused with the reason."""
    assert errors_of(text)[0].startswith(error)


def test_the_number_of_errors_is_bounded():
    """A file that is wrong throughout gives no more errors than a person reads."""
    assert len(errors_of(HEADER + "a,Ada,TEA,x,1\n" * 1000)) == csvfile.MAX_ERRORS


def test_an_order_has_a_bounded_number_of_lines():
    """The row that makes an order too long is named."""
    (error,) = errors_of(HEADER + "a,Ada,TEA,1,1\n" * 101)
    assert error == "line 102, order: got 'a', want at most 100 rows for one order"


def test_text_must_be_utf8():
    """Bytes that are not UTF-8 are named with their line."""
    with pytest.raises(InvalidInputError, match=r"line 2, file: got .*xff.*, want text in UTF-8"):
        csvfile.decode(HEADER.encode() + b"a,\xff,TEA,1,1\n")
