"No exported cell uses a name that its module does not have: notebooks hide it, since their other cells may define it."
import ast

import pytest
from pyflakes import checker, messages

from conftest import MODULES, ROOT


def undefined(source):
    found = checker.Checker(ast.parse(source)).messages
    return [str(m.message % m.message_args) for m in found if isinstance(m, messages.UndefinedName)]


def test_a_planted_one_is_found(): assert undefined("import os\ndef f(): return sys.path, os.sep") == ["undefined name 'sys'"]


@pytest.mark.parametrize("module", [m for m in MODULES if (ROOT/"smart_money"/f"{m}.py").exists()])
def test_every_name_is_defined(module): assert not undefined((ROOT/"smart_money"/f"{module}.py").read_text(encoding="utf-8"))
