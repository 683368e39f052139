"""Tables damaged at random: whatever a user hands in, the answer is a panel, a report or an `InputError`, never another exception."""
import datetime as dt
import random
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from smart_money.collection import load_ce_panel, make_ce_like, read_panel, write_panel
from smart_money.schema import InputError
from smart_money.validation import DataValidator

COLUMNS = ["household_id", "period", "monthly_income", "age", "location", "household_size", "savings_goal", "risk_tolerance", "market", "currency", "weight", "months_covered",
           "spend_housing", "spend_total", "spend_others", "profile_x", "item_count", "unknown"]
CELLS = [1, 2.5, -1, 0, None, np.nan, pd.NA, pd.NaT, np.inf, "x", "", "US", "USD", "40", [1], {}, (1,), dt.date(2024, 1, 1), dt.datetime(2024, 1, 1), pd.Timestamp("2024-02-01"),
         pd.Timestamp("2024-02-01", tz="UTC"), np.datetime64("2024-01-01"), 10**400, True, Decimal("3"), Decimal("NaN"), 1 + 2j, b"x", pd.Period("2024-01"), dt.timedelta(1), "\ud800",
         dt.date(9999, 1, 1), np.datetime64("NaT"), object()]


def _frame(r):
    "A small panel of odd cells; columns of one or two kinds of them half of the time."
    n = r.randint(0, 6)
    return pd.DataFrame({c: pd.Series(r.choices(CELLS if r.random() < 0.5 else r.sample(CELLS, 2), k=n), dtype=object) for c in r.sample(COLUMNS, r.randint(1, len(COLUMNS)))})


def _damaged(content, r):
    "Bytes with a few changed, lost or added."
    content = bytearray(content)
    for _ in range(r.randint(1, 6)):
        at, kind = r.randrange(len(content)), r.random()
        if kind < 0.4: content[at] = r.randrange(256)
        elif kind < 0.7: del content[at:at + r.randint(1, 50)]
        else: content[at:at] = r.choice([b'"', b",", b"\n", b"\r", b"\0", b"inf", b"-", b'""\n'])
    return bytes(content)


def test_any_frame_gets_a_report():
    for seed in range(250):
        report = DataValidator().validate(_frame(random.Random(seed)))
        assert str(report) and repr(report)
        if not report.ok:
            with pytest.raises(InputError): report.raise_if_invalid()


@pytest.mark.parametrize("reader", [load_ce_panel, read_panel])
def test_any_file_is_read_or_refused(reader, tmp_path):
    survey = tmp_path / "survey.csv"
    make_ce_like(20).to_csv(survey, index=False)
    path = tmp_path / "panel.csv"
    write_panel(load_ce_panel(survey), path)
    good = (survey if reader is load_ce_panel else path).read_bytes()
    assert len(reader(survey if reader is load_ce_panel else path))
    for seed in range(100):
        (tmp_path / "damaged.csv").write_bytes(_damaged(good, random.Random(seed)))
        try: assert len(reader(tmp_path / "damaged.csv"))
        except InputError as error: assert "damaged.csv" in str(error)
