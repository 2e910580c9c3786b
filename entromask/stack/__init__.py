"""`entromask up`: the whole service on this machine, as processes that are looked after."""
