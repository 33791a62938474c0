"""Eligible -> policy -> lease, in one synchronous call.

`select.py` finds who is eligible in a pool view, lets a `Policy` (`policy.py`) choose, and reserves a slot
before anything else can happen: choosing reserves. Each policy is one small file; `policies.py` names them.
Pure: it reads a view and a ledger, and takes `now` and a random source as arguments.
"""
