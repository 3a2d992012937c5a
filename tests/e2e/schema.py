"""A newer version of the application's schema: one more migration, mounted over the image."""

from __future__ import annotations

from typing import Any

from tests.e2e.cluster import Namespace, Release

VERSIONS = "app/migrations/versions"
FIND = "import app, pathlib; print(pathlib.Path(app.__file__).parent / 'migrations' / 'versions')"
MIGRATION = '''
"""A migration that only the next version of the application has."""
from alembic import op
import sqlalchemy as sa

revision = "{revision}"
down_revision = "{parent}"


def upgrade():
    {upgrade}


def downgrade():
    raise AssertionError("the schema was downgraded")
'''
HEAD = """
from alembic.config import Config
from alembic.script import ScriptDirectory
from app.migrate import MIGRATIONS
print(ScriptDirectory.from_config(Config(MIGRATIONS / "alembic.ini")).get_current_head())
"""


def add_migration(release: Release, revision: str, upgrade: str) -> dict[str, Any]:
    """Make a ConfigMap with one more migration and return the values that mount it wherever the schema matters."""
    pod = release.pod("web")
    directory = release.namespace.python(pod, FIND, container="web").strip()
    parent = release.namespace.python(pod, HEAD, container="web").strip()
    _store(release.namespace, revision, MIGRATION.format(revision=revision, parent=parent, upgrade=upgrade))
    mounted = {
        "extraVolumes": [{"name": "next-schema", "configMap": {"name": revision}}],
        "extraVolumeMounts": [
            {"name": "next-schema", "mountPath": f"{directory}/{revision}.py", "subPath": f"{revision}.py"}
        ],
    }
    return {"migrations": mounted, "web": mounted, "workerDefaults": mounted}


def _store(namespace: Namespace, revision: str, text: str) -> None:
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": revision},
            "data": {f"{revision}.py": text},
        }
    )
