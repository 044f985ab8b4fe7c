//! DAMON's region algorithm: integer arithmetic over an abstract access check.
