"""Row actions: linear programs, support vector machines and what else rows can be met one by one.

`dual` holds the function that they minimise, `blocks` who sweeps which rows.
"""
