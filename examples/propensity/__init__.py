"""What models of "will a ticket follow?" are worth, on data made by others."""
