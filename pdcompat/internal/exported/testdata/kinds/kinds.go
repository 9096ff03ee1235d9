// Package kinds declares one name of each kind, exported and not.
package kinds

type (
	Type  struct{ Field int }
	Alias = Type
	lower int
)

const Constant, other = 1, 2

var Variable, variable = Type{other}, lower(Constant)

func Function() { function() }

func function() { variable++ }

func (Type) Method() {}
