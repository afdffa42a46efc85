//! The product: accounts, apps, tokens, devices, grants. No HTTP, no JSON, no public codes.
