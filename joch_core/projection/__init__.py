"""A request made acceptable for one target, and the list of what that costs.

`project` is the single place where anything is dropped, renamed, flattened or transformed on the way to a provider: the
live call, the dry run, the preview and the `ProviderSwitched` event all show the gaps that it returns. Pure.
"""
