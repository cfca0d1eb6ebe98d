"""The shop's tests. Nothing here knows how the database is made or cleaned."""

import pytest
from fastapi.testclient import TestClient
from shop.api import app
from shop.models import Item


@pytest.fixture
def client():
    with TestClient(app) as client:
        yield client


def test_a_new_item_is_kept(client, committed):
    with committed.expect(item=+1):
        assert client.post("/items", json={"name": "lamp", "stock": 2}).status_code == 201
    assert committed.one(Item, name="lamp")["stock"] == 2


def test_a_name_is_given_once(client, committed):
    client.post("/items", json={"name": "lamp", "stock": 2})
    with committed.expect():
        assert client.post("/items", json={"name": "lamp", "stock": 9}).status_code == 409
    committed.assert_state(Item=1)


def test_selling_takes_one_from_the_stock(client, db_session, committed):
    db_session.add(Item(name="lamp", stock=1))
    db_session.commit()
    assert client.post("/items/lamp/sell").json()["stock"] == 0
    assert client.post("/items/lamp/sell").status_code == 404
    assert committed.one(Item, name="lamp")["stock"] == 0


def test_each_test_begins_with_nothing(committed):
    committed.assert_state(Item=0)
