"""The paper's protocol and its reproduction."""
