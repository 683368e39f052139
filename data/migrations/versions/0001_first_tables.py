"""The first tables. A migration says for itself what it does: it imports nothing of smart_money, whose tables will change."""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0001", None, None, None

EVENTS = ("feedback", "amounts", "user_weights", "assignments", "exposures", "outcomes", "evaluations", "runs", "erasures")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY, NAME, WHEN = sa.String(128), sa.String(200), sa.BigInteger


def column_id(): return sa.Column("id", NUMBER, primary_key=True, autoincrement=True)


def recorded(): return sa.Column("recorded_at", WHEN, nullable=False)


def user(): return sa.Column("user_key", KEY, nullable=False)


def experiment(): return sa.Column("experiment", NAME, sa.ForeignKey("experiments.name"), nullable=False)


def upgrade():
    op.create_table("properties", sa.Column("name", NAME, primary_key=True), sa.Column("value", sa.Text, nullable=False))
    op.create_table(
        "feedback", column_id(), recorded(), user(), sa.Column("period", sa.Date), sa.Column("currency", sa.String(3)), sa.Column("rating", sa.SmallInteger),
        sa.Column("adherence", sa.Float), sa.Column("profile", sa.JSON), sa.Column("model_id", NAME),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name="rating_1_to_5"), sa.CheckConstraint("adherence BETWEEN 0 AND 1", name="adherence_0_to_1"), sqlite_autoincrement=True)
    op.create_index("feedback_by_user", "feedback", ["user_key", "period"])
    op.create_index("feedback_by_time", "feedback", ["recorded_at"])
    op.create_table(
        "amounts", sa.Column("feedback_id", NUMBER, sa.ForeignKey("feedback.id", ondelete="CASCADE"), primary_key=True), sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("category", sa.String(64), primary_key=True), sa.Column("cents", sa.BigInteger, nullable=False),
        sa.CheckConstraint("kind IN ('override', 'actual', 'budget')", name="known_kind"), sa.CheckConstraint("cents >= 0", name="no_negative_amount"))
    op.create_table(
        "user_weights", column_id(), recorded(), user(), sa.Column("version", sa.Integer, nullable=False),
        sa.Column("feedback_id", NUMBER, sa.ForeignKey("feedback.id", ondelete="CASCADE"), nullable=False), sa.Column("state", sa.JSON, nullable=False),
        sa.UniqueConstraint("user_key", "version", name="one_state_per_version"), sqlite_autoincrement=True)
    op.create_index("user_weights_by_feedback", "user_weights", ["feedback_id"])
    op.create_table("experiments", sa.Column("name", NAME, primary_key=True), recorded(), sa.Column("config", sa.JSON, nullable=False))
    op.create_table("assignments", column_id(), experiment(), user(), sa.Column("arm", NAME, nullable=False), sa.Column("at", WHEN, nullable=False),
                    sa.UniqueConstraint("experiment", "user_key", name="one_arm_per_user"), sqlite_autoincrement=True)
    op.create_table("exposures", column_id(), experiment(), user(), sa.Column("arm", NAME, nullable=False), sa.Column("at", WHEN, nullable=False), sqlite_autoincrement=True)
    op.create_table("outcomes", column_id(), experiment(), user(), sa.Column("metric", NAME, nullable=False), sa.Column("value", sa.Float, nullable=False),
                    sa.Column("at", WHEN, nullable=False), sqlite_autoincrement=True)
    for table in ("assignments", "exposures", "outcomes"):
        op.create_index(f"{table}_by_user", table, ["user_key"])
        op.create_index(f"{table}_by_experiment", table, ["experiment", "at"])
    op.create_table("evaluations", column_id(), recorded(), sa.Column("model_id", NAME, nullable=False), sa.Column("kind", NAME, nullable=False),
                    sa.Column("metrics", sa.JSON, nullable=False), sqlite_autoincrement=True)
    op.create_index("evaluations_by_time", "evaluations", ["recorded_at"])
    op.create_table("runs", column_id(), recorded(), sa.Column("model_id", NAME, nullable=False), sa.Column("config", sa.JSON, nullable=False),
                    sa.Column("figures", sa.JSON, nullable=False), sqlite_autoincrement=True)
    op.create_table("idempotency", sa.Column("scope", sa.String(64), primary_key=True), sa.Column("key", sa.String(255), primary_key=True), recorded(), sa.Column("user_key", KEY),
                    sa.Column("body_sha256", sa.String(64), nullable=False), sa.Column("row_id", NUMBER), sa.Column("response", sa.JSON))
    op.create_index("idempotency_by_user", "idempotency", ["user_key"])
    op.create_table("erasures", column_id(), recorded(), sa.Column("n_rows", sa.Integer, nullable=False), sqlite_autoincrement=True)
    forbid_updates()


def forbid_updates():
    "Events are never changed: the database itself refuses."
    if op.get_bind().dialect.name == "sqlite":
        for table in EVENTS:
            op.execute(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'events are append-only'); END")
    else:
        op.execute("CREATE FUNCTION smart_money_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$")
        for table in EVENTS:
            op.execute(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION smart_money_append_only()")


def downgrade(): raise NotImplementedError("The first tables hold what people said: restore a backup instead of going back.")
