"What answers a request is light: numpy and pydantic, and nothing that is slow to import."
import json
import subprocess
import sys

import pytest

from conftest import ROOT

HEAVY = "pandas", "sklearn", "scipy", "matplotlib", "seaborn", "hyperopt", "fastapi", "starlette", "nbdev", "fastcore", "IPython", "typer"
PATH = "schema", "markets", "distributions", "features", "allocation", "inference", "persistence", "budgeting"


def loaded(statement):
    "Names of the top-level modules that a fresh interpreter holds after `statement`."
    code = f"{statement}\nimport json, sys; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", PATH)
def test_import_is_light(module):
    heavy = loaded(f"import smart_money.{module}") & set(HEAVY)
    assert not heavy, f"import smart_money.{module} loads {sorted(heavy)}"


@pytest.mark.parametrize("module", ["metrics", "splits"])
def test_import_needs_numpy_only(module):
    assert not loaded(f"import smart_money.{module}") & (set(HEAVY) | {"pydantic"})


def test_the_command_starts_light():
    assert not loaded("import smart_money.cli") & set(HEAVY) - {"typer"}


def test_a_budget_is_made_without_the_training_libraries():
    statement = ("from smart_money.budgeting import BudgetOptimizer\n"
                 "from smart_money.schema import load_household\n"
                 "from smart_money.training import default_model; default_model()\n")
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=ROOT, capture_output=True)  # trains once, if nothing is cached
    plan = ("from smart_money.budgeting import BudgetOptimizer\n"
            "BudgetOptimizer().create_optimized_budget({'monthly_income': 5200, 'age': 34, 'location': 'Austin, TX'}, [{'category': 'housing', 'amount': 1450, 'frequency': 'monthly'}])")
    heavy = loaded(plan) & set(HEAVY)
    assert not heavy, f"a budget loads {sorted(heavy)}"
