"""The part of the reference application that says whom it believes, without database and Redis."""

from __future__ import annotations

from flask import Flask

from app.web.whoami import blueprint

app = Flask(__name__)
app.register_blueprint(blueprint)
