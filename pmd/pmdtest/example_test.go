package pmdtest_test

import (
	"testing"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/null"
	"example.org/pmd/pmd/pmdtest"
)

// A driver's test describes its device and runs the suite.
func ExampleTestDevice() {
	// In a file of the driver's own tests:
	_ = func(t *testing.T) {
		pmdtest.TestDevice(t, pmdtest.Harness{
			Source: true,
			Sink:   true,
			Open: func(t testing.TB, env pmd.Env) pmdtest.Setup {
				dev, err := null.New(null.Config{Queues: 2}, env)
				if err != nil {
					t.Fatal(err)
				}
				return pmdtest.Setup{Device: dev}
			},
		})
	}
	// Output:
}
