package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestValuesOfTheCommandLine(t *testing.T) {
	cases := []struct {
		kind        kind
		given, want string
	}{
		{typed, "a=1", `{"a":1}`},
		{typed, "a=0,b=01,c=-5", `{"a":0,"b":"01","c":-5}`},
		{typed, "a=true,b=false,c=text", `{"a":true,"b":false,"c":"text"}`},
		{typed, "a=", `{"a":""}`},
		{typed, "a.b.c=x", `{"a":{"b":{"c":"x"}}}`},
		{typed, `a.b\.c/d=x`, `{"a":{"b.c/d":"x"}}`},
		{typed, "a[0]=x,a[1].b=y", `{"a":["x",{"b":"y"}]}`},
		{typed, "a={x,1}", `{"a":["x",1]}`},
		{typed, "a={}", `{"a":[]}`},
		{typed, `a=x\,y`, `{"a":"x,y"}`},
		{typed, "a=b=c", `{"a":"b=c"}`},
		{typed, "kept=null", `{}`},
		{text, "a=1,b=true", `{"a":"1","b":"true"}`},
		{document, `a.b=[{"c":1}]`, `{"a":{"b":[{"c":1}]}}`},
	}
	for _, c := range cases {
		a := assignments{singles: []single{{c.kind, c.given}}}
		values, err := a.values(map[string]interface{}{"kept": "x"})
		if err != nil {
			t.Errorf("%s: %v", c.given, err)
			continue
		}
		if values["kept"] == "x" {
			delete(values, "kept")
		}
		if got, _ := json.Marshal(values); string(got) != c.want {
			t.Errorf("%s: %s, expected %s", c.given, got, c.want)
		}
	}
	for _, given := range []string{"a", "a[100000]=1"} {
		a := assignments{singles: []single{{typed, given}}}
		if values, err := a.values(nil); err == nil {
			t.Errorf("%s: %v, expected an error", given, values)
		}
	}
}

func TestFilesGoOverDefaultsAndUnderSingleValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte("a: {b: 2, gone: null}\nlist: [3]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defaults := map[string]interface{}{
		"a":    map[string]interface{}{"b": 1.0, "c": 1.0, "d": 1.0, "gone": 1.0},
		"list": []interface{}{1.0, 2.0},
	}
	a := assignments{files: []string{file}, singles: []single{{typed, "a.c=4"}}}
	values, err := a.values(defaults)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a":{"b":2,"c":4,"d":1},"list":[3]}`
	if got, _ := json.Marshal(values); string(got) != want {
		t.Errorf("%s, expected %s", got, want)
	}
}
