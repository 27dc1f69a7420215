"""Dashboards without a browser: the app, and what its callbacks answer."""

import json

import pytest

from flowbench.dashboard.app import make_app
from flowbench.dashboard.record import Record


class Asked:
    """An app that is asked as a browser asks it."""

    def __init__(self, uri):
        self.record = Record(uri)
        self.record.look()
        self.client = make_app(self.record).server.test_client()

    def get(self, path, **headers):
        return self.client.get(path, headers=headers)

    def call(self, outputs, inputs, states=(), changed=None):
        """Call back; inputs and states are (id, property, value), or a list of what matches."""

        def listed(entries):
            return [
                listed(each)
                if isinstance(each, list)
                else dict(zip(("id", "property", "value"), each, strict=True))
                for each in entries
            ]

        single = len(outputs) == 1
        names = [f"{id_}.{name}" for id_, name in outputs]
        body = {
            "output": names[0] if single else f"..{'...'.join(names)}..",
            "outputs": [{"id": i, "property": p} for i, p in outputs],
            "inputs": listed(inputs),
            "state": listed(states),
            "changedPropIds": [changed or f"{inputs[0][0]}.{inputs[0][1]}"],
        }
        if single:
            body["outputs"] = body["outputs"][0]
        answer = self.client.post(
            "/_dash-update-component", data=json.dumps(body), content_type="application/json"
        )
        return answer.status_code, json.loads(answer.data) if answer.data else None


@pytest.fixture(scope="session")
def full_app(full_uri):
    return Asked(full_uri)


@pytest.fixture(scope="session")
def hostile_app(hostile_uri):
    return Asked(hostile_uri)
