"Whatever text comes in, names and chances come out: descriptions are written at random and from the words that banks use."
import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart_money.categorization import Categorizer
from smart_money.merchants import normalize_merchant
from smart_money.schema import InputError

WORDS = "pos purchase visa debit upi/ 1234 #12 LIDL rent * sq ca oakland the xxxx1234 12/03 - & + eref+ svwz+ tst* refund tax card neft-n12 gmbh inc é 日本 किराना .com www. \ud800".split(" ")
anything = st.one_of(st.text(st.characters(codec=None), max_size=40), st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join))
few = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@few
@given(anything)
def test_a_name_is_words(text):
    name = normalize_merchant(text)
    assert name == " ".join(name.split(" ")).strip() and "  " not in name
    assert name or not any(c.isalnum() for c in text)


@few
@given(st.lists(anything, max_size=6))
def test_the_default_answers_any_text(texts):
    categorizer = Categorizer()
    p = categorizer.predict_proba(texts)
    assert p.shape == (len(texts), 14) and np.isfinite(p).all() and np.allclose(p.sum(1), 1)
    answers = categorizer.categorize(texts)
    assert [a.confidence for a in answers] == p.max(1).tolist() and all(a.reason for a in answers)


@settings(few, max_examples=40)
@given(st.lists(st.tuples(anything, st.sampled_from(["a", "b", "Exp:Food", "", " housing", "x" * 300]), st.one_of(st.none(), st.floats())), min_size=1, max_size=30))
def test_any_history_is_learned_or_refused(rows):
    texts, labels, amounts = zip(*rows)
    try: categorizer = Categorizer().fit(texts, labels, amounts=amounts)
    except InputError: return
    assert np.isfinite(categorizer.predict_proba(texts, amounts=amounts)).all() and set(categorizer.predict(texts)) <= set(labels)
