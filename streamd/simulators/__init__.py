"""One simulator per vendor, of the same name as its connector: for `demo`, `simulate` and the tests."""
