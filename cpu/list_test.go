package cpu

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseList(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{" \n", ""},
		{"0", "0"},
		{"2-5,8", "2-5,8"},
		{" 2 - 5 , 8\n", "!"}, // blanks belong around items, not inside
		{" 2-5 ,\t8\n", "2-5,8"},
		{"8,2-5", "2-5,8"},
		{"3,3,2-4,3", "2-4"},
		{"1,2", "1-2"},
		{"5-5", "5"},
		{"007", "7"},
		{"0-63,64", "0-64"},
		{"62-65,127-129", "62-65,127-129"},
		{"0-8191", "0-8191"},
		{"0-6:2/8", "0-1"},
		{"0-15:2/8", "0-1,8-9"},
		{"0-9:2/8", "0-1,8-9"},
		{"0-8:2/8", "0-1,8"}, // the last group is cut short
		{"0-1023:2/256", "0-1,256-257,512-513,768-769"},
		{"4-7:1/1", "4-7"},

		{"8192", "!"},
		{"0-4000000000", "!"},
		{"99999999999999999999", "!"},
		{"-1", "!"},
		{"+1", "!"},
		{"1-", "!"},
		{"-", "!"},
		{"5-2", "!"},
		{"1-2-3", "!"},
		{"0x1", "!"},
		{"1,,2", "!"},
		{"1,", "!"},
		{",", "!"},
		{"all", "!"},
		{"1 2", "!"},
		{"3:1/2", "!"},
		{"0-6:2", "!"},
		{"0-6:", "!"},
		{"0-6:0/8", "!"},
		{"0-6:9/8", "!"},
		{"0-6:1/0", "!"},
		{"0-6:1/99999", "!"},
		{"0-6:1/2/3", "!"},
		{"٣", "!"}, // digits, but not ASCII
	} {
		t.Run(tc.in, func(t *testing.T) {
			s, err := ParseList(tc.in)
			if tc.want == "!" {
				require.Error(t, err)
				assert.NotContains(t, err.Error(), "\n", "one line")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, s.String())
		})
	}
}

func TestParseListErrorQuotesItem(t *testing.T) {
	_, err := ParseList("0-3, x7 ,9")
	assert.ErrorContains(t, err, `"x7"`)
	assert.NotContains(t, err.Error(), "0-3")

	_, err = ParseList(strings.Repeat("z", 5000))
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 200, "a long item is cut")

	_, err = ParseList("6-2")
	assert.ErrorContains(t, err, "2-6", "says what was probably meant")
}

func TestParseListTooLong(t *testing.T) {
	_, err := ParseList(strings.Repeat("1,", maxListLen/2) + "1")
	assert.ErrorContains(t, err, "longer than")
}

// The longest list that String can write must be one ParseList reads.
func TestParseListLongestCanonical(t *testing.T) {
	var every2nd []int
	for id := 0; id < MaxCPUs; id += 2 {
		every2nd = append(every2nd, id)
	}
	want := SetOf(every2nd...)
	got, err := ParseList(want.String())
	require.NoError(t, err)
	assert.True(t, got.Equal(want))
}

func TestSetText(t *testing.T) {
	type config struct {
		Cores Set `json:"cores"`
	}
	b, err := json.Marshal(config{SetOf(2, 3, 4, 5, 8)})
	require.NoError(t, err)
	assert.JSONEq(t, `{"cores":"2-5,8"}`, string(b))

	var c config
	require.NoError(t, json.Unmarshal(b, &c))
	assert.Equal(t, "2-5,8", c.Cores.String())
	assert.Error(t, json.Unmarshal([]byte(`{"cores":"2-x"}`), &c))
	assert.Equal(t, "2-5,8", c.Cores.String(), "untouched by a failure")
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{"", "2-5,8", " 1 ,\t2\n", "0-1023:2/256", "0-4000000000", "1,,2", "8191", "-", "0-6:2/8,7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, err := ParseList(s)
		if err != nil {
			if !set.IsEmpty() {
				t.Fatalf("%q: an error and a set: %v", s, set)
			}
			return
		}
		text := set.String()
		again, err := ParseList(text)
		if err != nil {
			t.Fatalf("%q became %q: %v", s, text, err)
		}
		if !again.Equal(set) || again.String() != text {
			t.Fatalf("%q became %q, then %q", s, text, again.String())
		}
	})
}

func TestParseSequence(t *testing.T) {
	for s, want := range map[string][]int{
		"":            nil,
		" ":           nil,
		"3":           {3},
		"5,2-4,2":     {5, 2, 3, 4, 2},
		"7, 0-6:2/4":  {7, 0, 1, 4, 5},
		"1-1,1":       {1, 1},
		"8191,0":      {8191, 0},
		"10,9,8,7-10": {10, 9, 8, 7, 8, 9, 10},
	} {
		got, err := ParseSequence(s)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"x", "2,,3", "3-1", "8192", strings.Repeat("0-8191,", 9) + "1"} {
		if got, err := ParseSequence(s); err == nil || got != nil {
			t.Errorf("%q: %v, %v; want an error and nothing else", s, len(got), err)
		}
	}
}

// A sequence names what the list names.
func FuzzParseSequence(f *testing.F) {
	for _, s := range []string{"", "2-5,8", "8,2", "0-1023:2/256,5", "1,,2", "8191", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ids, err := ParseSequence(s)
		set, errList := ParseList(s)
		if errList != nil && err == nil {
			t.Fatalf("%q: ParseList refuses it: %v", s, errList)
		}
		if err == nil && !SetOf(ids...).Equal(set) {
			t.Fatalf("%q: %v is not %v", s, ids, set)
		}
	})
}
