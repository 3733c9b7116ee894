"""The application: it reads the resources, opens the store and joins the rooms below. `Joch` is its face."""
