"""Tests of the web application, one file for each endpoint group."""
