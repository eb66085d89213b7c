"""A cycle-approximate simulator of the Huawei Ascend 910B and 910C NPUs."""
