"""The paper's protocol and its reproduction."""

__all__ = ["reproduction"]
