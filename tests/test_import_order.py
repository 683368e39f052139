"A notebook's module imports only modules of lower numbers, inside functions too."
import ast

import pytest

from conftest import MODULES, ROOT

FLOOR = {module: int(nb.stem[:2]) for module, nb in MODULES.items()}


def imported(tree, package="smart_money"):
    "Modules of the package that `tree` imports anywhere: `import p.m`, `from p import m`, `from p.m import x`, `from .m import x`, `from . import m`."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module or ""]))
            names = [f"{base}.{a.name}" for a in node.names] if base == package else [base]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [str(node.args[0].value)]
        else: continue
        yield from (n.split(".")[1] for n in names if n.startswith(f"{package}.") and n.split(".")[1] in FLOOR)


def test_all_forms_of_import_are_seen():
    source = "import smart_money.schema\ndef f():\n    from smart_money.markets import x\n    from . import features\n    from .cli import y\n    import_module('smart_money.metrics')"
    assert set(imported(ast.parse(source))) == {"schema", "markets", "features", "cli", "metrics"} & FLOOR.keys()


@pytest.mark.parametrize("module", FLOOR)
def test_imports_go_downhill(module):
    path = ROOT/"smart_money"/f"{module}.py"
    if not path.exists(): pytest.skip(f"{MODULES[module].name} exports nothing")
    uphill = {m for m in imported(ast.parse(path.read_text(encoding="utf-8"))) if m != module and FLOOR[m] >= FLOOR[module]}
    assert not uphill, f"{MODULES[module].name} imports {', '.join(sorted(MODULES[m].name for m in uphill))}"


def test_no_two_notebooks_share_a_number(): assert len(set(FLOOR.values())) == len(FLOOR)
