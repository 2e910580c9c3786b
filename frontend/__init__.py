"""The dashboard: Streamlit pages over the API, reached through `entromask.client` alone."""
