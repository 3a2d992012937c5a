"""Threads, tasks, child processes and application contexts."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import threading
from functools import cache
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.promises.leak_zoo.expect import innocent, leaks
from tests.promises.leak_zoo.places import _URL, ONE, engine, keep, new_session

db = SQLAlchemy()
_never = threading.Event()


@cache
def app() -> Flask:
    """Build the application, once a process."""
    made = Flask("zoo")
    made.config["SQLALCHEMY_DATABASE_URI"] = _URL
    db.init_app(made)
    return made


@cache
def async_engine() -> AsyncEngine:
    """Make the engine, once a process."""
    return create_async_engine(_URL.replace("sqlite://", "sqlite+aiosqlite://"), pool_logging_name="async")


async def _use_async_session() -> None:
    session = keep(AsyncSession(async_engine()))
    await session.execute(ONE)  # <- here


@leaks(at=_use_async_session)
def async_session() -> None:
    asyncio.run(_use_async_session())


@leaks()
async def async_job() -> None:
    session = new_session()
    session.execute(ONE)  # <- here


def _use_session() -> None:
    new_session().execute(ONE)  # <- here


@leaks(at=_use_session)
def copied_context() -> None:
    contextvars.copy_context().run(_use_session)


# Another thread's connection is left alone while its process lives.
@leaks(kind="died_with_process", at=_use_session)
def to_thread() -> None:
    asyncio.run(asyncio.to_thread(_use_session))


def _hold_for_ever(has_begun: threading.Event) -> None:
    with engine.connect() as connection:  # <- here
        connection.execute(ONE)
        has_begun.set()
        _never.wait()


@leaks(kind="died_with_process", at=_hold_for_ever, is_anonymous=True)
def thread_that_holds_for_ever() -> None:
    has_begun = threading.Event()
    threading.Thread(target=_hold_for_ever, args=(has_begun,), daemon=True).start()
    has_begun.wait()


def _leak_in_child() -> None:
    new_session().execute(ONE)  # <- here


@leaks(kind="died_with_process", at=_leak_in_child)
def child_process_that_leaks() -> None:
    child = multiprocessing.get_context("fork").Process(target=_leak_in_child)
    child.start()
    child.join()


@leaks()
def app_context_never_popped() -> None:
    app().app_context().push()
    db.session.execute(ONE)  # <- here


@innocent
def app_context() -> None:
    with app().app_context():
        db.session.execute(ONE)


@innocent
def async_session_closed() -> None:
    async def use() -> None:
        async with AsyncSession(async_engine()) as session:
            await session.execute(ONE)
        await async_engine().dispose()

    asyncio.run(use())


def _use_and_close() -> None:
    with Session(engine) as session:
        session.execute(ONE)


@innocent
def to_thread_closed() -> None:
    asyncio.run(asyncio.to_thread(_use_and_close))


@innocent
def thread_joined() -> None:
    thread = threading.Thread(target=_use_and_close)
    thread.start()
    thread.join()


@innocent
def child_process() -> None:
    child = multiprocessing.get_context("fork").Process(target=_use_and_close)
    child.start()
    child.join()


def _hold_for_a_while(has_begun: threading.Event, is_over: threading.Event) -> None:
    with engine.connect() as connection:  # <- here
        connection.execute(ONE)
        has_begun.set()
        is_over.wait()


WAITING: list[tuple[threading.Thread, threading.Event]] = []


# Where each job has a process of its own, that takes the thread with it.
@leaks(kind="died_with_process", at=_hold_for_a_while, is_anonymous=True, innocent_on="same process")
def thread_that_outlives_its_job() -> None:
    has_begun, is_over = threading.Event(), threading.Event()
    thread: Any = threading.Thread(target=_hold_for_a_while, args=(has_begun, is_over), daemon=True)
    thread.start()
    has_begun.wait()
    WAITING.append((thread, is_over))


@innocent
def end_of_that_thread() -> None:
    while WAITING:
        thread, is_over = WAITING.pop()
        is_over.set()
        thread.join()
