"""Tests of accounts and orders."""
