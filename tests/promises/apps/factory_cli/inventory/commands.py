"""`flask stock ...`."""

import click
from flask.cli import AppGroup
from sqlalchemy import func, select

from inventory.database import Base, Item, Session

stock = AppGroup("stock", help="Look after the stock.")


@stock.command()
def seed():
    """Make the tables and put something in."""
    Base.metadata.create_all(Session.get_bind())
    Session.add_all([Item(item="funnel", quantity=7), Item(item="cork", quantity=90)])
    Session.commit()
    click.echo("seeded")


@stock.command()
def report():
    """List what there is."""
    for item in Session.scalars(select(Item).order_by(Item.id)):
        click.echo(f"{item.id:>4} {item.item:<10} {item.quantity:>4}")


@stock.command()
@click.argument("least", type=int)
@click.pass_context
def check(context, least):
    """Fail when there is less than so much."""
    found = int(Session.scalar(select(func.sum(Item.quantity))))
    click.echo(f"{found} in stock, {least} wanted", err=True)
    context.exit(0 if found >= least else 3)
