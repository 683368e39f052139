"""Allocation against general solvers: cvxpy on 1,000 random problems, HiGHS on sampled distributions.

The random problems and the quadratic program are those shown in `nbs/42_allocation.ipynb`; they are read from there."""
import json
from pathlib import Path

import numpy as np
import pytest

from smart_money.allocation import allocate
from smart_money.distributions import QuantileTable

NOTEBOOK = Path(__file__).parents[1] / "nbs" / "42_allocation.ipynb"
SETTINGS = ("weights", "lower", "upper", "reserve_price")


@pytest.fixture(scope="module")
def shown():
    "The functions of the notebook's oracle section."
    cells = ["".join(c["source"]) for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]
    names = {"np": np, "QuantileTable": QuantileTable}
    exec(next(c for c in cells if "def random_problem" in c), names)
    return names


def solve(problem):
    return allocate(QuantileTable(problem["levels"], problem["values"][None]), problem["available"], **{k: problem[k] for k in SETTINGS})


@pytest.mark.parametrize("seed", range(10))
def test_cvxpy_agrees_on_a_hundred_problems(shown, seed):
    pytest.importorskip("cvxpy")
    rng, impossible = np.random.default_rng([seed, 42]), 0
    for i in range(100):
        problem = shown["random_problem"](rng)
        plan, best = solve(problem), shown["solve_with_cvxpy"](problem)
        assert bool(plan.feasible[0]) == (best is not None), (seed, i)
        if best is None:
            impossible += 1
            assert np.isclose(plan.shortfall[0], problem["lower"].sum() - problem["available"])
            continue
        budget = plan.budget[0]
        assert abs(shown["hurt"](problem, budget) - best) <= 1e-7 * max(1, abs(best)), (seed, i)
        assert budget.sum() <= problem["available"] + 1e-9 * max(1, problem["available"])
        assert (budget >= problem["lower"]).all() and (budget <= problem["upper"]).all()
        assert plan.price_right[0] <= plan.price[0] <= plan.price_left[0]
    assert impossible > 0


def test_linear_program_agrees_on_sampled_distributions():
    linprog = pytest.importorskip("scipy.optimize").linprog
    rng = np.random.default_rng(0)
    for _ in range(100):
        C, N = int(rng.integers(2, 8)), int(rng.integers(3, 40))
        samples = rng.gamma(2, 50, (C, N)).round(int(rng.integers(-1, 2)))
        weights, reserve = rng.choice([.5, 1, 2], C), float(rng.choice([0, .1]))
        available = samples.mean() * C * rng.uniform(.2, 1.6)
        plan = allocate(QuantileTable.from_samples(samples[None]), available, weights=weights, reserve_price=reserve)
        # variables: budgets, then the excess of each sample over its budget
        cost = np.concatenate([np.full(C, reserve), np.repeat(weights / N, N)])
        excess = np.hstack([-np.repeat(np.eye(C), N, axis=0), -np.eye(C * N)])
        limits = np.vstack([excess, np.concatenate([np.ones(C), np.zeros(C * N)])])
        best = linprog(cost, A_ub=limits, b_ub=np.append(-samples.ravel(), available), method="highs")
        budget = plan.budget[0]
        mine = weights @ np.maximum(samples - budget[:, None], 0).mean(1) + reserve * budget.sum()
        assert abs(mine - best.fun) <= 1e-7 * max(1, best.fun)


def test_the_right_price_is_the_slope_of_the_best_value(shown):
    rng = np.random.default_rng(5)
    for _ in range(200):
        problem, step = shown["random_problem"](rng), 1e-5
        plan, richer = solve(problem), solve(dict(problem, available=problem["available"] + step))
        if plan.feasible[0]:
            saved = shown["hurt"](problem, plan.budget[0]) - shown["hurt"](problem, richer.budget[0])
            price = saved / step + problem["reserve_price"]  # one unit more that is kept is worth the reserve price
            assert abs(price - plan.price_right[0]) < 1e-2 * max(1, plan.price_right[0])
