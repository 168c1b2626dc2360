"""The lists that people have, as they come out of an editor, a spreadsheet, a directory."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Refused
from relay.recipients.entry import Entry, Kind
from relay.recipients.export import read

ANN = Entry("ann")
BOB = Entry("bob")


def alias(local: str, target: str = "ann@gold.example") -> Entry:
    return Entry(local, Kind.ALIAS, target)


def entries(text: str | bytes) -> list[Entry]:
    return list(read("gold.example", text.encode() if isinstance(text, str) else text).entries)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nobody yet\n\n", []),
        ("ann\n\n  bob@gold.example  # from May on\r\n#cid\n", [ANN, BOB]),
        ("a#b@gold.example\n", [Entry("a#b")]),
        ("sales -> ann\nhelp@gold.example→ann@gold.example\n", [alias("sales"), alias("help")]),
        ("*@gold.example\n", [Entry("*", Kind.CATCH_ALL)]),
        ('"john, doe"@gold.example\n', [Entry("john, doe")]),
        ("mail\naddress\n", [Entry("mail"), Entry("address")]),
        ("\ufeffann\n", [ANN]),
        ("\ufeffann\n".encode("utf-16-le"), [ANN]),
        ("ann".encode("utf-16"), [ANN]),
    ],
)
def test_one_address_a_line(text: str | bytes, expected: list[Entry]) -> None:
    """With comments, aliases, a catch-all; in UTF-8 or as Windows writes text."""
    assert entries(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("address\nann@gold.example\n", [ANN]),
        ("Name,E-Mail\nAnn,ann@gold.example\n\nBob,bob\n", [ANN, BOB]),
        ('\ufeff#TYPE Mailbox\n"Name";"Mail"\n"Smith; Ann";"ann@gold.example"\n', [ANN]),
        ("Name\tEmail Address\nAnn\tann@gold.example\n", [ANN]),
        ("mail,userPrincipalName\nann@gold.example,asmith@corp.local\n,printer@corp.local\n", [ANN]),
        ("userPrincipalName\nann@gold.example\n", [ANN]),
        ("alias,target\nsales@gold.example,ann@gold.example\n", [alias("sales")]),
        ("address,target\nann,\nsales,ann\n*@gold.example,ann\n", [ANN, alias("sales"), Entry("*", Kind.CATCH_ALL)]),
        ("Alias,PrimarySmtpAddress\nnickname,ann@gold.example\n", [ANN]),
        (
            "address,aliases\nann,sales@gold.example; help@gold.example\nbob\n",
            [ANN, alias("sales"), alias("help"), BOB],
        ),
        ('"Smith, Ann",mail\nx,ann\n', [ANN]),
        ('name,mail\n"two\nlines",ann\n', [ANN]),
        ("address\n", [Entry("address")]),
    ],
)
def test_a_table(text: str, expected: list[Entry]) -> None:
    """Columns are known by the names that directories and spreadsheets give them; accounts without mail are nobody."""
    found = entries(text)
    assert [entry if entry.kind is not Kind.CATCH_ALL else Entry("*", Kind.CATCH_ALL) for entry in found] == expected


def test_all_addresses_of_a_mailbox() -> None:
    """As Exchange and Active Directory list them: X500 and sip are no mail, capitals mark the main one."""
    dn = "X500:/o=Exchange Labs/ou=Administrative Group (FYDIBOHF23SPDLT)/cn=Ann Smith"
    row = f"SMTP:ann@gold.example smtp:a.smith@gold.example {dn} smtp:as@gold.example sip:ann@gold.example"
    expected = [ANN, alias("a.smith"), alias("as")]
    assert entries(f"PrimarySmtpAddress,EmailAddresses\nann@gold.example,{row}\n") == expected
    assert entries(f"name,proxyAddresses\nAnn,{row.replace(' smtp', ';smtp')}\n") == expected
    assert entries(f"userPrincipalName,proxyAddresses\nann@corp.local,{{{row}}}\nbob@corp.local,\n") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ann\n\nb c\n", "line 3: 'b c' should be an address such as info@gold.example"),
        ("ann\nx@other.example\n", "line 2: 'x@other.example' is not an address at gold.example; --skip-others leaves"),
        ("Name,Phone\nAnn,3\n", "line 1: this looks like CSV, whose first line should name a column address, mail"),
        ("ann@gold.example,bob@gold.example\n", "line 1: this looks like CSV"),
        ('name,mail\n"two\nlines",ann\nx,y,z\n', "line 4: it has more fields than the first line"),
        ('name,mail\nAnn,"ann\n', "line 2: it is no CSV: unexpected end of data"),
        ("mail,proxyAddresses\nann,Some.Type[]\n", "line 2: 'Some.Type[]' should be addresses, apart by ; or spaces"),
        ("mail,target\nann,b c\n", "line 2: 'b c' should be the address that an alias stands for"),
        (b"ann\nb\xfccher\n", "line 2: the list should be text in UTF-8"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(text: str | bytes, words: str) -> None:
    """With what it should be."""
    with pytest.raises(Refused) as refusal:
        entries(text)
    assert words in str(refusal.value)


def test_addresses_of_other_domains_can_be_left_out() -> None:
    """They are counted; an alias of one of them is ours."""
    text = "mail,aliases\nann@gold.example,ann@other.example\nx@other.example,x@gold.example\n"
    found = read("gold.example", text.encode(), skip_others=True)
    assert (list(found.entries), found.others) == ([ANN, alias("x", "x@other.example")], 2)


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.text('",;\n#@a-> *:\\').map(lambda text: b"mail,target,aliases\n" + text.encode())
)
def test_whatever_a_file_holds_it_is_read_or_refused(content: bytes) -> None:
    """In one line that names a line of the file."""
    try:
        found = read("gold.example", content)
    except Refused as refusal:
        assert str(refusal).startswith("line ")
        assert len(str(refusal).splitlines()) == 1
    else:
        assert all(entry.local for entry in found.entries)


@given(
    st.lists(
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x2FF, blacklist_categories=("Cc", "Cs")), min_size=1)
    ),
    st.sampled_from(",;\t"),
    st.booleans(),
)
def test_a_table_says_the_same_whatever_its_form(names: list[str], delimiter: str, quoted: bool) -> None:
    """Whichever delimiter and quotes a spreadsheet likes."""
    wanted = []
    for name in names:
        try:
            wanted.append(Entry.parse("gold.example", f"{name}@gold.example"))
        except Refused:
            continue
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerow(["n", "Email"])
    writer.writerows(["x", one.address("gold.example")] for one in wanted)
    assert entries(out.getvalue()) == wanted
