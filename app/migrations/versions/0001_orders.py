"""Orders, their lines and the imported files."""

import sqlalchemy as sa
from alembic import op

from app.migrations import steps

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    steps.create_table(
        "orders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer", sa.String(100), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
    )
    steps.create_index("ix_orders_customer", "orders", ["customer"])
    steps.create_index("ix_orders_created_at", "orders", ["created_at"])
    steps.create_table(
        "order_lines",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price_cents", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_lines_order_id_orders", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_order_lines"),
    )
    steps.create_index("ix_order_lines_order_id", "order_lines", ["order_id"])
    steps.create_table(
        "csv_imports",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_csv_imports"),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("csv_imports")
    op.drop_table("order_lines")
    op.drop_table("orders")
