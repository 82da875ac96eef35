"""`-sql_source` in the forms of the original's drivers."""

import ssl
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.errors import StartError
from durabus.stores.sql.source import (
    MysqlSource,
    PostgresSource,
    parse_mysql,
    parse_postgres,
    parse_sqlite,
    tls_context,
)

TEXT = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=1, max_size=20)
NAME = st.text(st.sampled_from("abcxyz019_-."), min_size=1, max_size=12)
PORT = st.integers(1, 65535)


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


@given(TEXT, TEXT, TEXT, PORT, st.sampled_from(["", " ", "\t "]))
def test_postgres_pairs(user: str, password: str, database: str, port: int, blank: str) -> None:
    source = parse_postgres(
        f"{blank}user{blank}={blank}{quoted(user)} password={quoted(password)}\n dbname={quoted(database)} "
        f"host=db.example port={port} sslmode=disable{blank}"
    )
    assert (source.user, source.password, source.database) == (user, password, database)
    assert (source.host, source.port, source.tls_mode) == ("db.example", port, "disable")


@given(TEXT, TEXT, TEXT, PORT, st.sampled_from(["postgres", "postgresql"]))
def test_postgres_url(user: str, password: str, database: str, port: int, scheme: str) -> None:
    account = f"{quote(user, safe='')}:{quote(password, safe='')}"
    query = urlencode({"sslmode": "verify-full", "readTimeout": "1.5s", "search_path": "a,b"})
    source = parse_postgres(f"{scheme}://{account}@db.example:{port}/{quote(database, safe='')}?{query}")
    assert (source.user, source.password, source.database) == (user, password, database)
    assert (source.host, source.port, source.tls_mode) == ("db.example", port, "verify-full")
    assert source.answer_timeout_s == 1.5
    assert ("search_path", "a,b") in source.settings


def test_postgres_defaults_are_those_of_its_driver() -> None:
    source = parse_postgres("")
    assert source.tls_mode == "require"
    assert (source.host, source.port, source.user, source.password, source.database) == ("", 0, "", "", "")
    assert source.settings == (("application_name", "durabus"),)


@pytest.mark.row(158)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host=/run/postgresql", PostgresSource(host="/run/postgresql", tls_mode="disable")),
        ("READTIMEOUT=2s writetimeout=500ms", PostgresSource(answer_timeout_s=2.5)),
        ("connect_timeout=7 binary_parameters=yes", PostgresSource(connect_timeout_s=7.0, prepares=False)),
        ("user='' dbname=x", PostgresSource(database="x")),
        ("sslcert=c sslkey=k sslrootcert=r", PostgresSource(tls_files=("c", "k", "r"))),
        (r"password=a\ b\'c", PostgresSource(password="a b'c")),
    ],
)
def test_postgres_keys(text: str, expected: PostgresSource) -> None:
    found = parse_postgres(text)
    for name in ("host", "password", "database", "tls_mode", "tls_files", "connect_timeout_s", "answer_timeout_s"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.prepares == expected.prepares


def test_postgres_fallback_name() -> None:
    assert parse_postgres("fallback_application_name=x").settings == (("application_name", "x"),)
    assert parse_postgres("fallback_application_name=x application_name=y").settings == (("application_name", "y"),)


@pytest.mark.row(158)
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("host", 'missing "="'),
        ("password=a secret", 'missing "="'),
        ("password='secret", "unterminated quoted string"),
        ("password=secret\\", "missing character after backslash"),
        ("sslmode=prefer", 'unsupported sslmode "prefer"'),
        ("port=x", "the port is no number"),
        ("port=70000", "the port is no number"),
        ("readTimeout=5", "missing unit"),
        ("writeTimeout=-1s", "cannot be negative"),
        ("connect_timeout=soon", "connect_timeout is a number"),
        ("a-b=secret", "no name of a setting"),
        ("postgres://host:secret/db", "no URL"),
    ],
)
def test_postgres_mistakes(text: str, complaint: str) -> None:
    with pytest.raises(StartError) as caught:
        parse_postgres(text)
    assert complaint in str(caught.value)
    assert "secret" not in str(caught.value)


WITHOUT_SLASH = TEXT.filter(lambda text: "(" not in text)
USER = st.text(st.sampled_from("abc019._-"), min_size=1, max_size=10)


@given(USER, WITHOUT_SLASH, NAME, PORT)
def test_mysql(user: str, password: str, database: str, port: int) -> None:
    source = parse_mysql(
        f"{user}:{password}@tcp(db.example:{port})/{database}?readTimeout=1s&writeTimeout=2s&timeout=3s"
    )
    assert (source.user, source.password, source.database) == (user, password, database)
    assert (source.host, source.port, source.socket) == ("db.example", port, "")
    assert (source.answer_timeout_s, source.connect_timeout_s) == (3.0, 3.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/db", MysqlSource(database="db")),
        ("user@/db", MysqlSource(user="user", database="db")),
        ("user:pass@tcp/db", MysqlSource(user="user", password="pass", database="db")),
        ("user:p@ss:w/rd@tcp(h)/db", MysqlSource(user="user", password="p@ss:w/rd", host="h", database="db")),
        ("tcp([de:ad::ef]:80)/db", MysqlSource(host="de:ad::ef", port=80, database="db")),
        ("tcp([de:ad::ef])/db", MysqlSource(host="de:ad::ef", database="db")),
        ("u@unix(/run/mysql.sock)/db?charset=latin1", MysqlSource(user="u", host="", port=0, socket="/run/mysql.sock", database="db", charset="latin1")),
        ("/db?tls=skip-verify&collation=utf8_general_ci", MysqlSource(database="db", tls="skip-verify", charset="utf8")),
        ("/db?tls=true&parseTime=true&loc=Local", MysqlSource(database="db", tls="true")),
        ("/db?tls=0&x&time_zone=%27UTC%27", MysqlSource(database="db", variables=(("time_zone", "'UTC'"),))),
        ("/a%20b", MysqlSource(database="a b")),
    ],
)  # fmt: skip
def test_mysql_forms(text: str, expected: MysqlSource) -> None:
    assert parse_mysql(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "missing the slash"),
        ("user:secret@tcp(host)", "missing the slash"),
        ("user:secret@tcp(host/db", "not terminated"),
        ("user:secret@pipe(x)/db", "neither tcp nor unix"),
        ("user:secret@tcp(host:x)/db", "the port is no number"),
        ("user:secret@/", "names no database"),
        ("user:secret@/db?compress=true", "compression not implemented"),
        ("user:secret@/db?tls=mine", "tls can be"),
        ("user:secret@/db?a-b=1", "no name of a system variable"),
        ("user:secret@/db?timeout=1", "missing unit"),
    ],
)
def test_mysql_mistakes(text: str, complaint: str) -> None:
    with pytest.raises(StartError) as caught:
        parse_mysql(text)
    assert complaint in str(caught.value)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_source_or_a_mistake(text: str) -> None:
    for parse in (parse_postgres, parse_mysql, parse_sqlite):
        complaint = "sql: invalid source for "
        try:
            parse(text)
        except StartError as error:
            complaint = str(error)
        assert complaint.startswith("sql: invalid source for ")


def test_sqlite_is_a_path() -> None:
    assert parse_sqlite("data/events.db") == "data/events.db"


@pytest.mark.parametrize("text", ["", ":memory:", "file:events?mode=memory", "a\0b"])
def test_sqlite_is_a_file(text: str) -> None:
    with pytest.raises(StartError):
        parse_sqlite(text)


def test_passwords_are_not_shown() -> None:
    for source in (parse_postgres("password=secret"), parse_mysql("u:secret@/db")):
        assert source.password == "secret"
        assert "secret" not in repr(source)


def test_tls() -> None:
    assert tls_context(True, True).verify_mode == ssl.CERT_REQUIRED
    lax = tls_context(False, False)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


def test_tls_files_that_are_not_there(tmp_path: Path) -> None:
    for files in (("", "", str(tmp_path / "a")), (str(tmp_path / "c"), "", "")):
        with pytest.raises(StartError, match="the files for TLS cannot be used"):
            tls_context(True, True, files)
