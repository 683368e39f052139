"""Plans of random households under random forecasts: sums to the cent, wishes respected, chances and effects true."""
import datetime as dt
import json
import math
import pickle
import warnings

import numpy as np
import pytest

from smart_money.budgeting import BudgetOptimizer, ImpossiblePlanError, compare_plans
from smart_money.distributions import LEVELS, QuantileTable
from smart_money.features import FeatureEngineer
from smart_money.schema import CATEGORIES, CATEGORY_NAMES, FREQUENCIES, RISK_TOLERANCES, InputError

MONTH = dt.date(2025, 3, 1)


class RandomModel:
    "Forecasts drawn anew for each request, with atoms at zero and elsewhere; amounts follow the income."
    spec = dict(targets=[*CATEGORY_NAMES, "total"], feature_names=FeatureEngineer(CATEGORY_NAMES).feature_names)

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def predict_distribution(self, X):
        rng, n, C = self.rng, len(X), len(CATEGORY_NAMES)
        income = X[:, self.spec["feature_names"].index("monthly_income")]
        values = np.sort(rng.lognormal(-2.5, 1, (n, C, len(LEVELS))), axis=-1) * income[:, None, None]
        atom = rng.random((n, C, 1)) < .4
        values = np.where(atom & (LEVELS > .3) & (LEVELS < .7), values[..., 50:51], values)
        values = np.where((rng.random((n, C, 1)) < .3) & (LEVELS < .35), 0, np.maximum.accumulate(values, axis=-1))
        total = np.sort(values.mean(-1).sum(1)[:, None] * rng.lognormal(0, .2, (n, len(LEVELS))), axis=-1)
        return QuantileTable(LEVELS, np.concatenate([values, total[:, None]], axis=1))


def random_household(rng, greed=.25):
    income = round(float(rng.lognormal(8.3, 1)), int(rng.integers(0, 4)))
    profile = dict(monthly_income=income, age=int(rng.integers(18, 100)), savings_goal=round(float(rng.uniform(0, .5)), 3), risk_tolerance=str(rng.choice(RISK_TOLERANCES)))
    profile |= dict(location=str(rng.choice(["Austin, TX", "Mumbai", "California", "Atlantis"]))) if rng.random() < .8 else {}
    expenses = [dict(category=str(rng.choice(CATEGORY_NAMES)), amount=round(float(rng.lognormal(5, 1)), 2), frequency=str(rng.choice(list(FREQUENCIES)))) for _ in range(rng.integers(0, 6))]
    some = lambda k, scale: {str(c): round(float(rng.uniform(0, scale) * income), 3) for c in rng.choice(CATEGORY_NAMES, k, replace=False)}
    locked, minimum = some(rng.integers(0, 3), greed), some(rng.integers(0, 3), greed / 2)
    minimum = {c: v for c, v in minimum.items() if c not in locked}
    maximum = {c: v + minimum.get(c, 0) for c, v in some(rng.integers(0, 4), .2).items() if c not in locked}
    preferences = dict(locked=locked, minimum=minimum, maximum=maximum, weights={str(c): float(rng.uniform(.2, 5)) for c in rng.choice(CATEGORY_NAMES, 2)})
    if rng.random() < .3:
        preferences["savings_amount"] = round(float(rng.uniform(0, 1.2) * income), 2)
    return dict(user_profile=profile, expenses=expenses, preferences=preferences)


def check(household, plan):
    "Everything that holds for each plan."
    wishes, profile = household["preferences"], household["user_profile"]
    assert round(100 * sum(plan.budget.values())) + round(100 * plan.savings) == round(100 * plan.income)
    assert math.isclose(plan.income, profile["monthly_income"], abs_tol=.0051)
    for c, v in plan.budget.items():
        assert v >= 0 and abs(v * 100 - round(v * 100)) < 1e-6
        assert wishes["minimum"].get(c, 0) - 1e-9 <= v <= max(wishes["maximum"].get(c, math.inf), wishes["minimum"].get(c, 0)) + .011
        if c in wishes["locked"]:
            assert abs(v - wishes["locked"][c]) < .0051
    assert 0 <= plan.confidence <= 1 and plan.shadow_price.left >= plan.shadow_price.right >= 0
    assert plan.feasible == (plan.savings >= plan.savings_goal - .011)
    assert plan.feasible == (plan.shortfall == 0)
    assert math.isclose(sum(r.effect for r in plan.recommendations), plan.expected_saving, abs_tol=1e-6)
    assert all(0 <= r.chance <= 1 and r.effect > 0 and r.category not in wishes["locked"] and not CATEGORIES[r.category].fixed for r in plan.recommendations)
    assert set(plan.explanations) == set(plan.forecast) == set(plan.budget) == set(CATEGORY_NAMES)
    json.dumps(plan.as_dict(), allow_nan=False)


@pytest.mark.parametrize("seed", range(4))
def test_random_households_get_plans_that_hold(seed):
    rng, optimizer = np.random.default_rng(seed), BudgetOptimizer(RandomModel(seed))
    households = [random_household(rng) for _ in range(150)]
    kinds = set()
    for household, plan in zip(households, optimizer.create_optimized_budgets(households, period=MONTH)):
        check(household, plan)
        kinds |= {e.reason for e in plan.explanations.values()} | {plan.feasible}
    assert kinds == {"locked", "minimum", "maximum", "price", "left out", True, False}


def test_one_household_alone_or_impossible():
    rng, impossible = np.random.default_rng(9), 0
    for i in range(150):
        household, optimizer = random_household(rng, greed=.9), BudgetOptimizer(RandomModel(i))
        committed = sum(household["preferences"]["locked"].values()) + sum(household["preferences"]["minimum"].values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                check(household, optimizer.create_optimized_budget(**household, period=MONTH))
                assert committed <= household["user_profile"]["monthly_income"] + .1
            except ImpossiblePlanError as error:
                impossible += 1
                assert abs(committed - household["user_profile"]["monthly_income"] - error.shortfall) < .1
                assert pickle.loads(pickle.dumps(error)).shortfall == error.shortfall
    assert impossible > 3


def test_wishes_for_more_saving_never_raise_a_budget():
    rng = np.random.default_rng(3)
    for i in range(30):
        home = random_household(rng) | dict(preferences=dict())
        plans = [BudgetOptimizer(RandomModel(i)).create_optimized_budgets([home | dict(preferences=dict(savings_goal=g))], period=MONTH)[0] for g in (.05, .2, .4, .6)]
        for a, b in zip(plans, plans[1:]):
            change = compare_plans(a, b)
            assert all(v <= .0101 for v in change.budget.values()) and change.savings >= 0 and change.confidence <= 1e-9
            assert math.isclose(sum(change.budget.values()) + change.savings, 0, abs_tol=1e-6)


@pytest.mark.parametrize("change, problems", [
    (dict(user_profile=dict(monthly_income=0, age=40)), 1),
    (dict(user_profile=dict(monthly_income=4000, age=300)), 1),
    (dict(user_profile=dict(monthly_income="4000", age=40)), 1),
    (dict(user_profile=dict(monthly_income=float("nan"), age=40)), 1),
    (dict(user_profile=dict(age=40)), 1),
    (dict(expenses=[dict(category="food", amount=10)]), 1),
    (dict(expenses=[dict(category="housing", amount=-10), dict(category="housing", amount=10, frequency="hourly")]), 2),
    (dict(preferences=dict(minimum=dict(shopping=300), maximum=dict(shopping=200))), 1),
    (dict(preferences=dict(locked=dict(shopping=300), maximum=dict(shopping=200))), 1),
    (dict(preferences=dict(savings_goal=.2, savings_amount=100)), 1),
    (dict(preferences=dict(savings_goal=20)), 1),
    (dict(preferences=dict(wish="more")), 1),
    (dict(preferences=dict(locked=dict(housing=3000), minimum=dict(food_dining=2000))), 1),
])
def test_bad_input_is_one_clear_error(change, problems):
    home = dict(user_profile=dict(monthly_income=4000, age=40), expenses=[], preferences={}) | change
    with pytest.raises(InputError) as caught:
        BudgetOptimizer(RandomModel(0)).create_optimized_budget(**home, period=MONTH)
    assert len(caught.value.problems) == problems
    assert "expected" in str(caught.value)


def test_a_batch_names_the_household_at_fault():
    good = dict(user_profile=dict(monthly_income=4000, age=40))
    bad = dict(user_profile=dict(monthly_income=4000, age=4), expenses=[dict(category="x", amount=1)])
    with pytest.raises(InputError, match=r"households\[1\].*age") as caught:
        BudgetOptimizer(RandomModel(0)).create_optimized_budgets([good, bad])
    assert len(caught.value.problems) == 2
    assert BudgetOptimizer(RandomModel(0)).create_optimized_budgets([]) == []
