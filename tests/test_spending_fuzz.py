"Whatever a statement holds: an analysis that adds up and is plain JSON, or one clear error."
import json
import warnings

import numpy as np
import pandas as pd
import pytest

from smart_money.onboarding import household_from_transactions
from smart_money.schema import CATEGORY_NAMES, InputError
from smart_money.spending import SpendingAnalyzer

PERIODS = None, 1, 3, {"start": None, "end": None}, {"start": "2020-03-10"}, {"end": "2021-01-01"}


def account(rng):
    "Transactions of a kind that nobody has thought of."
    n, span = int(rng.choice([1, 2, 3, 5, 19, 20, 21, 60, 200])), int(rng.choice([1, 2, 20, 40, 400, 1500, 9000]))
    amounts = (-rng.lognormal(3, 1, n), rng.normal(0, 50, n), np.full(n, -10.0), np.round(rng.normal(0, 1, n)) * 5, -rng.lognormal(10, 6, n).clip(0, 1e12), rng.choice([-1e12, 1e12, 0, 0.001, -0.004], n))[rng.integers(6)]
    texts = rng.choice(["", "A", "STORE 12", "STORE 13", "Netflix 99", "\u0000x", "=cmd|' /C calc'!A0", "ÄÖ " * 40], n)
    return pd.DataFrame(dict(date=pd.Timestamp("2020-02-28") + pd.to_timedelta(rng.integers(0, span, n), unit="D"), amount=amounts, description=texts, currency="USD",
                             category=rng.choice(np.array([None, *CATEGORY_NAMES[:3]], object), n), kind=rng.choice(np.array([None, None, "transfer", "income", "spending"], object), n)))


@pytest.mark.parametrize("seed", range(40))
def test_it_adds_up_or_says_why_not(seed):
    rng = np.random.default_rng(seed)
    rows, period = account(rng), PERIODS[rng.integers(len(PERIODS))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try: analysis = SpendingAnalyzer(balance=(None, 0.0, 1e6)[seed % 3], random_state=seed).analyze_patterns(rows, period)
        except InputError as error:
            assert str(error)
            return
        answer = analysis.as_dict()
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer
        p = answer["spending_patterns"]
        large = 1 + max((abs(c["total"]) for c in p["categories"]), default=0)
        assert sum(c["total"] for c in p["categories"]) == pytest.approx(p["total"], abs=0.1 + 1e-6 * large)
        for c in p["changes"]: assert c["price"] + c["count"] + c["new_merchants"] == pytest.approx(c["change"], abs=0.011 + 1e-9 * large)
        for a in answer["anomalies"]: assert a["low"] <= a["expected"] <= a["high"] and rows["amount"].iloc[a["row"]] < 0
        try: household_from_transactions(rows, dict(age=30, monthly_income=100))
        except InputError as error: assert str(error)
