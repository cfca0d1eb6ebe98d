"""A ledger: a library that is handed a session and leaves the commit to its caller."""

from sqlalchemy import CheckConstraint, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """The models' base."""


class Account(Base):
    """Somebody's money, in the smallest unit."""

    __tablename__ = "accounts"
    __table_args__ = (CheckConstraint("balance >= 0", name="solvent"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(default=0)


def open_account(session: Session, name: str, balance: int = 0) -> Account:
    """Open an account."""
    account = Account(name=name, balance=balance)
    session.add(account)
    return account


def transfer(session: Session, amount: int, giver: str, taker: str) -> None:
    """Move an amount; the database refuses what the giver does not have."""
    accounts = {
        account.name: account
        for account in session.scalars(
            select(Account).where(Account.name.in_([giver, taker])).with_for_update()
        )
    }
    accounts[giver].balance -= amount
    accounts[taker].balance += amount
    session.flush()
