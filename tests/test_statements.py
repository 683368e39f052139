"""Bank files that nobody has seen: written at random in each format and read back, damaged at random, and handed to the command.

What must hold for any file: a reader gives an `InputError` or a statement, within seconds; every line is read, structure, or listed; every transaction is a valid record."""
import csv
import datetime as dt
import io
import json
import random
import time
from decimal import Decimal

import pytest

pytest.importorskip("hypothesis", reason="fuzzing needs hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank_layouts import LAYOUTS
from conftest import ROOT, shared
from smart_money.schema import InputError, Transaction, parse
from smart_money.statements import read_statement, read_statements, read_transactions, recognise, write_transactions
from test_cli import smart_money

FUZZ = settings(max_examples=60, deadline=5000, derandomize=True, suppress_health_check=list(HealthCheck))
EXAMPLE = ROOT/"data"/"examples"/"bank_export.csv"

days = st.dates(dt.date(1999, 1, 1), dt.date(2039, 12, 31))
cents = st.integers(-10**9, 10**9).filter(bool)
words = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzÄÖÜßéèñ ABC&'#./-"), min_size=1, max_size=40).map(lambda t: t.strip(" '")).filter(lambda t: sum(c.isalpha() for c in t) > 2)
bookings = st.lists(st.tuples(days, cents, words), min_size=3, max_size=30)


def number(c, mark=".", group=""):
    whole, part = f"{abs(c) // 100:,}".replace(",", group), f"{abs(c) % 100:02}"
    return f"{'-' if c < 0 else ''}{whole}{mark}{part}"


def told_apart(rows):
    "Whether some day cannot be a month."
    return any(d.day > 12 for d, _, _ in rows)


def check(statement):
    "What holds for every statement."
    n = statement.lines
    assert n["read"] + n["structure"] + n["skipped"] == n["total"]
    for t in statement.transactions[:50] + statement.items[:50]: assert parse(Transaction, t.model_dump()) == t
    for i, parts in statement.splits.items(): assert sum(p.amount for p in parts) == next(t.amount for t in statement.transactions if t.id == i)
    assert len({t.id for t in statement.transactions}) == len(statement.transactions)
    assert all(s.reason and 1 <= s.line <= max(n["total"], 1) for s in statement.skipped)
    return statement


def read(path, data, **options):
    "A statement or None; anything but an `InputError`, or a long wait, fails the test."
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    start = time.process_time()
    try: return check(read_statement(path, **options))
    except InputError as error:
        assert str(error) and str(path) in str(error)
        return None
    finally: assert time.process_time() - start < 5


def same(statement, rows, text=True):
    "Every booking was read, with its day, amount and text."
    found = sorted((t.date, t.amount, " ".join(t.description.split()) if text else "") for t in statement.transactions)
    assert found == sorted((d, Decimal(c) / 100, " ".join(t.split()) if text else "") for d, c, t in rows)


# CSV as any bank may write it

@FUZZ
@given(rows=bookings.filter(told_apart), seed=st.integers(0, 10**6))
def test_any_csv_is_read_back(tmp_path_factory, rows, seed):
    r = random.Random(seed)
    delimiter, mark = r.choice([(",", "."), (";", ","), (";", "."), ("\t", ","), ("\t", "."), ("|", ".")])
    group = r.choice(["", "." if mark == "," else "", "'" if delimiter != "'" else ""])
    order = r.choice(["%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y", "%Y%m%d"])
    style = r.choice(["signed", "columns", "side", "trailing", "brackets"])
    out = io.StringIO()
    for line in r.choice([[], ["My bank"], ["Account;12345678", "", "Period: 2024"]]): out.write(line + "\n")
    w = csv.writer(out, delimiter=delimiter, lineterminator=r.choice(["\n", "\r\n"]), quoting=r.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    w.writerow(["Date", "Description", *{"columns": ["Debit", "Credit"], "side": ["Amount", "CR/DR"]}.get(style, ["Amount"])])
    for d, c, t in rows:
        a = number(abs(c), mark, group)
        money = {"signed": [number(c, mark, group)], "columns": [a if c < 0 else "", a if c > 0 else ""], "side": [a, "DR" if c < 0 else "CR"], "trailing": [a + ("-" if c < 0 else "")], "brackets": [f"({a})" if c < 0 else a]}[style]
        w.writerow([d.strftime(order), t, *money])
    encoding = r.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    path = tmp_path_factory.mktemp("csv")/"bank.csv"
    path.write_bytes(out.getvalue().encode(encoding))
    negate = False if all(c > 0 for _, c, _ in rows) else None
    s = check(read_statement(path, currency="EUR", day_first="%m/%d" not in order, negate=negate))
    same(s, rows)
    assert not s.skipped


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layouts_of_many_banks(tmp_path, name):
    text, n, total = LAYOUTS[name]
    s = read(tmp_path/"bank.csv", text)
    assert (len(s.transactions), sum(t.amount for t in s.transactions)) == (n, Decimal(total)), s
    assert all(t.description for t in s.transactions)


# The other formats, written from the same bookings

def as_ofx(rows, xml):
    end = (lambda t: f"</{t}>") if xml else (lambda t: "")
    esc = lambda t: t.replace("&", "&amp;")
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<?OFX OFXHEADER="200" VERSION="211"?>\n' if xml else "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\n\n"
    body = "".join(f"<STMTTRN><TRNTYPE>OTHER{end('TRNTYPE')}\n<DTPOSTED>{d:%Y%m%d}120000{end('DTPOSTED')}<TRNAMT>{number(c)}{end('TRNAMT')}\n<FITID>{i}{end('FITID')}<NAME>{esc(t)}{end('NAME')}</STMTTRN>\n" for i, (d, c, t) in enumerate(rows))
    return f"{head}<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR{end('CURDEF')}<BANKACCTFROM><ACCTID>1{end('ACCTID')}</BANKACCTFROM><BANKTRANLIST>\n{body}</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>\n"


def as_qif(rows): return "!Type:Bank\n" + "".join(f"D{d:%m/%d/%Y}\nT{number(c, '.', ',')}\nP{t}\n^\n" for d, c, t in rows)


def as_camt(rows, version="08"):
    status = "<Sts><Cd>BOOK</Cd></Sts>" if version == "08" else "<Sts>BOOK</Sts>"
    esc = lambda t: t.replace("&", "&amp;")
    body = "".join(f"""<Ntry><Amt Ccy="EUR">{number(abs(c))}</Amt><CdtDbtInd>{'DBIT' if c < 0 else 'CRDT'}</CdtDbtInd>{status}\n<BookgDt><Dt>{d}</Dt></BookgDt><NtryDtls><TxDtls><RmtInf><Ustrd>{esc(t)}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>\n""" for d, c, t in rows)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt><Stmt><Acct><Id><IBAN>DE02120300000000202051</IBAN></Id></Acct>\n{body}</Stmt></BkToCstmrStmt></Document>\n'


def as_mt940(rows): return ":20:START\n:25:12030000/1\n:28C:1/1\n:60F:C240101EUR0,00\n" + "".join(f":61:{d:%y%m%d}{d:%m%d}{'D' if c < 0 else 'C'}{number(abs(c), ',')}NMSCNONREF\n:86:{t}\n" for d, c, t in rows) + "-\n"


def as_journal(rows): return "; mine\n" + "".join(f"{d} * {t}\n    expenses:misc    {number(-c)} EUR\n    assets:cash\n\n" for d, c, t in rows)


def as_beancount(rows): return "2000-01-01 open Assets:Cash\n" + "".join(f'{d} * "{t}"\n  Assets:Cash  {number(c)} EUR\n  Expenses:Misc\n\n' for d, c, t in rows)


WRITERS = {"ofx1": lambda r: as_ofx(r, False), "ofx2": lambda r: as_ofx(r, True), "qif": as_qif, "camt8": as_camt, "camt2": lambda r: as_camt(r, "02"), "mt940": as_mt940, "journal": as_journal, "beancount": as_beancount}


@pytest.mark.parametrize("kind", WRITERS)
@FUZZ
@given(rows=bookings.filter(told_apart))
def test_any_statement_is_read_back(tmp_path_factory, kind, rows):
    rows = [(d if d.year < 2069 else d, c, t.replace("  ", " ")) for d, c, t in rows]
    statement = read(tmp_path_factory.mktemp(kind)/"bank.txt", WRITERS[kind](rows))
    assert statement is not None and not statement.skipped, statement and statement.skipped[:3]
    same(statement, rows, text=kind in ("camt8", "camt2"))


# Damage

ROWS = [(dt.date(2024, 1, 3) + dt.timedelta(5 * i), (-1) ** i * (1234 + 99 * i), f"shop {i} & sons") for i in range(12)]
SOUND = {**{k: w(ROWS) for k, w in WRITERS.items()}, "csv": "Date;Payee;Amount;Balance\n" + "".join(f'{d:%d.%m.%Y};"{t}";{number(c, ",")};0,00\n' for d, c, t in ROWS), "example": EXAMPLE.read_text()[:3000]}


@st.composite
def damaged(draw, data):
    "Bytes cut off, changed, doubled, moved."
    for _ in range(draw(st.integers(1, 4))):
        a, b = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        how = draw(st.sampled_from(["cut", "drop", "bytes", "double", "swap", "fill"]))
        if how == "cut": data = data[:a]
        elif how == "drop": data = data[:a] + data[min(b, a + 60):]
        elif how == "bytes": data = data[:a] + draw(st.binary(max_size=12)) + data[a + 3:]
        elif how == "double": data = data[:b] + data[a:b] + data[b:]
        elif how == "swap": data = data[a:b] + data[:a] + data[b:]
        else: data = data[:a] + draw(st.sampled_from([b"\"", b"<", b"\n", b"\0", b"9" * 40, b"\xff\xfe", b"&x;", b"{", b"(", b"''", b"\r", b"[", b"=", b":61:", b"^\n", b"!Type:Bank\n", b"2024-02-30"])) + data[a:]
    return data


@pytest.mark.parametrize("kind", SOUND)
@FUZZ
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_with_its_losses_listed(tmp_path_factory, kind, data):
    read(tmp_path_factory.mktemp(kind)/"bank.txt", data.draw(damaged(SOUND[kind].encode())))


@FUZZ
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(lambda t: t.encode("utf-8", "surrogatepass")),
                 st.lists(st.sampled_from(["<OFX>", "<STMTTRN>", "</", "<", "!Type:", "D1/1/24\n", "T5\n", "^\n", ":20:", ":61:240101D5,NMSC\n", ":86:?", "2024-01-01", " *", "\n ", "  5 EUR", "a:b", "\t", ";", ",", "Date", "Amount", "\n", '"', "12,50", "1.234", "=", "@", "{", "}", "(", ")", "\u202e", "\x00", "é"]), max_size=80).map(lambda t: "".join(t).encode())))
def test_any_bytes_at_all(tmp_path_factory, data):
    read(tmp_path_factory.mktemp("bytes")/"bank.txt", data)


@pytest.mark.parametrize("kind", SOUND)
def test_each_bad_record_costs_itself_only(tmp_path, kind):
    "A 30 February and an amount in words: those two are listed, the rest is read."
    text = SOUND[kind]
    sound = read(tmp_path/"sound.txt", text)
    for d, c, _ in ROWS[5:6]:
        for good, bad in ((f"{d:%d.%m.%Y}", "30.02.2024"), (f"{d:%m/%d/%Y}", "02/30/2024"), (f"{d:%Y%m%d}1", "202402301"), (f"{d:%Y-%m-%d}", "2024-02-30"), (f":{d:%y%m%d}{d:%m%d}", ":2402300230")):
            if good in text and kind != "example": text = text.replace(good, bad, 1); break
    if kind != "example":
        s = read(tmp_path/"bad.txt", text)
        assert (len(s.transactions), len(s.skipped)) == (len(sound.transactions) - 1, 1) and "calendar" in s.skipped[0].reason
        assert s.skipped[0].line > 1


HOSTILE = {
    "empty": b"", "blank": b"\n \n\t\n", "zeros": bytes(3000), "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "spreadsheet": b"PK\x03\x04" + bytes(200), "pdf": b"%PDF-1.7\n1 0 obj", "one long line": b"a," * 500_000,
    "many commas": b",\n" * 100_000, "open quotation": b'Date,Text,Amount\n2024-01-02,"x,5\n' + b"2024-01-02,y,5\n" * 20_000, "billion laughs": b'<?xml version="1.0"?>\n<!DOCTYPE lolz [\n<!ENTITY lol "lol">\n' + b"".join(b'<!ENTITY lol%d "%s">\n' % (i, b"&lol%d;" % (i - 1) * 10) for i in range(1, 10)) + b"]>\n<Document><BkToCstmrStmt>&lol9;</BkToCstmrStmt></Document>",
    "outer entity": b'<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<Document><BkToCstmrStmt>&x;</BkToCstmrStmt></Document>', "deep xml": b"<Document>" + b"<a>" * 50_000, "deep ofx": b"<OFX>" + b"<A>" * 100_000,
    "deep brackets": b"2024-01-01 x\n  a  " + b"(" * 50_000 + b"1\n  b\n", "power": b"2024-01-01 x\n  a  (9**9**9**9 USD)\n  b\n", "long number": b"Date,Amount\n2024-01-02," + b"9" * 100_000 + b"\n", "json": b'{"a": 1}', "web page": b"<!DOCTYPE html><html><body>Log in</body></html>", "letter": "Sehr geehrte Damen und Herren,\n".encode("utf-16"),
    "exponents": b"Date,Amount\n2024-01-02,1e999999999\n", "only header": b"Date,Description,Amount\n", "dashes": b"-" * 200_000, "colons": b":20:\n:25:\n" + b":61:\n" * 20_000, "carets": b"!Type:Bank\n" + b"^\n" * 50_000, "spaces": b" " * 200_000 + b"x", "nul in text": b"Date,Text,Amount\n2024-01-02,a\0b,5\n2024-01-03,c,6\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_clear_error_or_accounted_for(tmp_path, name):
    statement = read(tmp_path/"bank.txt", HOSTILE[name])
    if name not in ("many commas", "open quotation", "only header", "carets", "colons", "nul in text"): assert statement is None or not statement.transactions
    if name in ("billion laughs", "outer entity"):
        with pytest.raises(InputError, match="line 2: got a document type definition"): read_statement(tmp_path/"bank.txt")


def test_mixed_currencies_are_kept_apart(tmp_path):
    (tmp_path/"b.csv").write_text("Date,Text,Amount,Currency\n2024-01-02,a,-5,EUR\n2024-01-13,b,-6,USD\n2024-01-14,c,-1,EUR\n")
    assert read_statement(tmp_path/"b.csv").sums == {"EUR": Decimal(-6), "USD": Decimal(-6)}


def test_wrong_encoding_said(tmp_path):
    (tmp_path/"b.csv").write_bytes("Date;Text;Amount\n13.01.2024;Müller;-5,00\n".encode("cp1252"))
    with pytest.raises(InputError, match="line 2: got bytes that are not utf-8"): read_statement(tmp_path/"b.csv", encoding="utf-8")
    assert read_statement(tmp_path/"b.csv").transactions[0].description == "Müller"


# Counting once

@FUZZ
@given(rows=bookings, a=st.integers(0, 30), b=st.integers(0, 30))
def test_overlapping_files_count_once(tmp_path_factory, rows, a, b):
    folder, rows = tmp_path_factory.mktemp("overlap"), sorted(rows)
    days = sorted({d for d, _, _ in rows})
    cut1, cut2 = sorted((a % len(days), b % len(days)))
    for name, part in (("all", rows), ("old", [r for r in rows if r[0] <= days[cut2]]), ("new", [r for r in rows if r[0] >= days[cut1]])): (folder/f"{name}.qif").write_text("!Account\nNGiro\n^\n" + as_qif(part))
    whole = read_statement(folder/"all.qif", day_first=False)
    both = read_statements([folder/"old.qif", folder/"new.qif", folder/"old.qif"], day_first=False)
    assert sorted(t.id for t in both.transactions) == sorted(t.id for t in whole.transactions)


# Writing

@FUZZ
@given(st.lists(st.builds(lambda d, c, t, a: Transaction(date=d, amount=Decimal(c) / 100, currency="EUR", description=t, account=a), days, cents, st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
                          st.none() | st.text(st.sampled_from("=+-@'\"abc "), max_size=8)), max_size=10))
def test_written_transactions_come_back_and_hold_no_formula(tmp_path_factory, transactions):
    path = tmp_path_factory.mktemp("safe")/"t.csv"
    write_transactions(transactions, path)
    assert read_transactions(path) == transactions
    for row in list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))[1:]:
        for cell in row[2:]: assert cell.lstrip()[:1] not in tuple("=+-@\t\r") or not cell.lstrip(), cell


# Numbers

def test_a_hundred_thousand_lines_take_seconds(tmp_path):
    lines = ["Date,Description,Amount,Balance"] + [f"{dt.date(2015, 1, 1) + dt.timedelta(i // 40)},SHOP {i % 977} #{i},{-(i % 9000) / 100:.2f},0.00" for i in range(100_000)]
    (tmp_path/"big.csv").write_text("\n".join(lines))
    start = time.process_time()
    s = read_statement(tmp_path/"big.csv", currency="USD")
    assert time.process_time() - start < 8 and len(s.transactions) == 100_000 == s.lines["read"]
    assert sum(t.amount for t in s.transactions) == sum(-Decimal(i % 9000) / 100 for i in range(100_000))


@pytest.mark.parametrize("name", ["betterplace_sepa_snippet.sta", "cmxl_mt940.sta", "jejik_abnamro.sta", "jejik_ing.sta", "mBank_mt940.sta", "self-provided_multiline.sta"])
def test_mt940_agrees_with_its_library(name):
    mt940 = pytest.importorskip("mt940", reason="the oracle mt-940 is not installed")
    path = shared("bank-files", "mt940", name)
    said = [(t.data["date"].isoformat(), t.data["amount"].amount) for t in mt940.parse(str(path)) if "amount" in t.data]
    assert sorted((t.date.isoformat(), t.amount) for t in read_statement(path).transactions) == sorted(said)


@pytest.mark.parametrize("text, kind", [(t, k) for k, t in SOUND.items()], ids=list(SOUND))
def test_the_format_is_known_by_content(text, kind):
    assert recognise(text) == {"ofx1": "ofx", "ofx2": "ofx", "camt8": "camt", "camt2": "camt", "beancount": "journal", "example": "csv"}.get(kind, kind)


# The command

def test_import_makes_a_panel(tmp_path):
    run = smart_money("import", EXAMPLE, "--out", tmp_path/"panel.csv", "--transactions", tmp_path/"all.csv", "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["transactions"] == 326 == said["files"][0]["lines"]["read"] and said["sums"] == {"USD": 4636.92}
    assert said["panel"]["months"] == [f"2025-{m:02}" for m in range(1, 7)] and said["panel"]["transfers"] == 6 and said["panel"]["unknown"] <= 6
    from smart_money.collection import read_panel
    panel = read_panel(tmp_path/"panel.csv")
    assert len(panel) == 6 and (panel["spend_housing"] == 1450).all() and panel["currency"].eq("USD").all()
    spent = -sum(t.amount for t in read_transactions(tmp_path/"all.csv") if t.kind not in ("transfer", "income"))
    assert abs(float(spent) - panel["spend_total"].sum()) < 0.005


def test_import_says_what_it_read_and_what_not(tmp_path):
    (tmp_path/"bank.csv").write_text("Date;Payee;Amount\n13.01.2024;Shop;-5,00\n30.02.2024;Never;-6,00\n15.01.2024;=cmd|calc;-1,00\n")
    run = smart_money("import", "bank.csv", "--transactions", "out.csv", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "line 3: not read" in run.stdout and "no day of the calendar" in run.stdout and "--currency" in run.stdout and "Nothing was written" in run.stdout
    assert "'=cmd|calc" in (tmp_path/"out.csv").read_text()


@pytest.mark.parametrize("words, expected", [
    (["nowhere.csv"], "no such file"), (["empty.csv"], "an empty file"), (["letter.txt"], "a bank statement"), (["short.csv", "--out", "panel.csv", "--currency", "EUR"], "no whole month"), (["long.csv", "--out", "panel.csv"], "no currency"),
    (["long.csv", "--currency", "gold"], "three letters"), (["short.csv", "--mapping", "none.toml"], "none.toml"), (["long.csv", "--out", "no/panel.csv", "--currency", "EUR"], "the folder 'no' does not exist"), (["short.csv", "bomb.xml"], "line 1: got a document type definition"), ([], "FILE")])
def test_import_refuses_in_one_clear_line_and_writes_nothing(tmp_path, words, expected):
    for name, text in {"empty.csv": "", "letter.txt": "Dear all,\nhello\n", "short.csv": "Date,Text,Amount\n2024-01-13,a,-5\n", "bomb.xml": '<!DOCTYPE a [<!ENTITY b "c">]><Document/>',
                       "long.csv": "Date,Text,Amount\n" + "".join(f"2024-01-{d:02},shop,-5.00\n" for d in range(1, 32))}.items(): (tmp_path/name).write_text(text)
    before = sorted(tmp_path.iterdir())
    run = smart_money("import", *words, cwd=tmp_path)
    assert run.returncode == 2 and expected in run.stderr and "Traceback" not in run.stderr, run.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_mapping_is_saved_and_used(tmp_path):
    (tmp_path/"jan.csv").write_text("When;What;How much\n13.01.2024;Shop;5,00\n15.01.2024;Pay;-900,00\n")
    (tmp_path/"bank.toml").write_text('decimal = ","\nnegate = true\ncurrency = "EUR"\n[columns]\ndate = "When"\ndescription = "What"\namount = "How much"\n')
    run = smart_money("import", "jan.csv", "--mapping", "bank.toml", "--save-mapping", "again.toml", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["sums"] == {"EUR": 895.0}
    again = smart_money("import", "jan.csv", "--mapping", "again.toml", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["sums"] == {"EUR": 895.0}
