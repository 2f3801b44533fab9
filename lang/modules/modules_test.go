package modules

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"nsh/lang"
	"nsh/runtime/fault"
)

// run gives what a script prints and the first line of its failure.
func run(t *testing.T, src string) string {
	t.Helper()
	var out bytes.Buffer
	i := lang.New(lang.Options{Natives: All(), Stdout: &out, Stderr: &out})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	load := ""
	for name := range All() {
		load += "load('@std//" + name + "', '" + strings.TrimSuffix(name, ".star") + "');"
	}
	if err := i.ExecFile(ctx, "t.star", []byte(load+src)); err != nil {
		if k := fault.KindOf(err); k != fault.Invalid && k != Assertion {
			out.WriteString("kind " + string(k) + ": ")
		}
		out.WriteString(strings.TrimPrefix(fault.Wrap(err, "", "").Error(), ": "))
		out.WriteByte('\n')
	}
	return out.String()
}

// TestExamples runs the example of each function, and holds that each is documented.
func TestExamples(t *testing.T) {
	t.Parallel()
	for file, make := range All() {
		for name, m := range make() {
			for fn, v := range m.(*lang.Module).Members {
				t.Run(name+"."+fn, func(t *testing.T) {
					t.Parallel()
					d := lang.DocOf(v)
					if d.Name != name+"."+fn || file != name+".star" {
						t.Errorf("%s is called %s", file, d.Name)
					}
					for _, p := range d.Params {
						if p.Doc == "" && !p.Variadic && !p.Extra {
							t.Errorf("nothing on parameter %s", p.Name)
						}
					}
					i := lang.New(lang.Options{Natives: All()})
					if err := i.ExecFile(t.Context(), "example", []byte(d.Example)); err != nil || d.Example == "" {
						t.Errorf("the example fails: %v\n%s", err, d.Example)
					}
				})
			}
		}
	}
}

func TestModules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, src, want string }{
		{"yaml scalars", `print(yaml.decode("[1, 0x1f, 0o17, -2, 123456789012345678901234567890, 1.5, 1e3, .inf, true, yes, 'a', ~, 2001-02-03, 80:80, !!str 1, !!binary aGk=]"))`,
			`[1, 31, 15, -2, 123456789012345678901234567890, 1.5, 1000.0, +inf, True, "yes", "a", None, "2001-02-03", "80:80", "1", b"hi"]` + "\n"},
		{"yaml order", `print(yaml.decode("z: 1\na: {y: 2, b: 3}\n7: x"))`, `{"z": 1, "a": {"y": 2, "b": 3}, 7: "x"}` + "\n"},
		{"yaml merge", `print(yaml.decode("b: &b {x: 1, y: 2}\nc: &c {y: 9, z: 3}\na:\n  <<: [*b, *c]\n  x: 5")["a"])`, `{"x": 5, "y": 2, "z": 3}` + "\n"},
		{"yaml empty", `print(yaml.decode(""), yaml.decode_all(""), yaml.decode("# x"))`, "None [] None\n"},
		{"yaml copies", `d = yaml.decode("a: &a [1]\nb: *a"); d["a"].append(2); print(d)`, `{"a": [1, 2], "b": [1]}` + "\n"},
		{"yaml round", `v = {"s": ["yes", "1", "1.0", "null", "a: b", "", " x", "80:80", "a\nb\n", "-", "é\t", "<<", "0x1", "2001-01-01", "\x00"], "n": [1, -1, 1 << 80, 1.0, 1e20, 1e-7, float("inf")], "d": {1: None, "t": True}, "e": [[], {}]}
print(yaml.decode(yaml.encode(v)) == v)`, "True\n"},
		{"yaml text", `print(yaml.encode({"web": {"image": "nginx", "ports": ["80:80", 443], "on": True, "note": "a\nb\n"}, "t": (1, struct(x = 1))}))`,
			"web:\n  image: nginx\n  ports:\n    - \"80:80\"\n    - 443\n  \"on\": true\n  note: |\n    a\n    b\nt:\n  - 1\n  - x: 1\n\n"},
		{"yaml documents", `print(yaml.encode_all([1, {"a": 2}]), yaml.decode_all("1\n---\n2\n"))`, "1\n---\na: 2\n [1, 2]\n"},
		{"yaml two", `yaml.decode("1\n---\n2")`, "yaml.decode: the text has 2 documents\n"},
		{"yaml twice", `yaml.decode("a: 1\nb: 2\na: 3")`, "yaml.decode: line 3: the key \"a\" is there already, in line 1\n"},
		{"yaml syntax", `yaml.decode("a: 1\nb: [1")`, "yaml.decode: line 2: did not find expected ',' or ']'\n"},
		{"yaml syntax in line 1", `yaml.decode("{a")`, "yaml.decode: line 1: did not find expected ',' or '}'\n"},
		{"yaml scanner", `yaml.decode("a: 1\nb: c: d")`, "yaml.decode: line 2: mapping values are not allowed in this context\n"},
		{"yaml tag", `yaml.decode("a: 1\nb: !Ref x")`, "yaml.decode: line 2: the tag !Ref is not known\n"},
		{"yaml key", `yaml.decode("[1]: 2")`, "yaml.decode: line 1: a key cannot be a list\n"},
		{"yaml bomb", `yaml.decode("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(["%s: &%s [%s]\n" % (n, n, ",".join(["*" + m] * 10)) for m, n in zip("abcdefgh".elems(), "bcdefghi".elems())]))`, "yaml.decode: line 1: there are more than 1048576 values\n"},
		{"yaml cycle", `yaml.decode("a: &x [*x]")`, "yaml.decode: line 1: the anchor \"x\" has itself as a part\n"},
		{"yaml deep", `yaml.decode("[" * 500 + "]" * 500)`, "yaml.decode: line 1: lists and mappings are more than 200 deep in each other\n"},
		{"yaml cyclic value", `x = []; x.append(x); yaml.encode(x)`, "yaml.encode: lists and dicts are more than 200 deep in each other\n"},
		{"yaml no data", `yaml.encode({"f": len})`, "yaml.encode: a value of type builtin_function_or_method is no data\n"},
		{"yaml invalid UTF-8", `yaml.decode("a: " + "\u00ff"[:1])`, "yaml.decode: incomplete UTF-8 octet sequence\n"},

		{"toml", `print(toml.decode("z = 1\na = 2.0\nb.y = 'x'\nb.c = true\n[t.s]\nk = [1, 'a', {q = 1, p = 2}]\n[[u]]\nm = 1\nl = 2\n[[u]]\nl = 3\nd = 1979-05-27\n"))`,
			`{"z": 1, "a": 2.0, "b": {"y": "x", "c": True}, "t": {"s": {"k": [1, "a", {"q": 1, "p": 2}]}}, "u": [{"m": 1, "l": 2}, {"l": 3, "d": "1979-05-27"}]}` + "\n"},
		{"toml time", `print(toml.decode("t = 1979-05-27T07:32:00Z")["t"].year)`, "1979\n"},
		{"toml text", `print(toml.encode({"t": {"a": 1, "u": [{"x": 1}, {"x": [1.0, {"y": "\"\n"}]}]}, "n": None, "s": "x", "a b": [], "e": {}}))`,
			"s = \"x\"\n\"a b\" = []\n\n[t]\na = 1\n\n[[t.u]]\nx = 1\n\n[[t.u]]\nx = [1.0, {y = \"\\\"\\n\"}]\n\n[e]\n\n"},
		{"toml round", `v = {"a": 1, "f": -2.5, "g": 1e100, "s": "é\u0001\\\t", "b": [True, [1, 2]], "i": [1, {"k": {"l": 1}}], "t": {"x.y": {"": 1}, "u": [{"v": [{"w": 1}]}, {}]}}
print(toml.decode(toml.encode(v)) == v)`, "True\n"},
		{"toml syntax", `toml.decode("a = 1\nb = ]")`, "toml.decode: line 2: unexpected character U+005D ']' at start of value\n"},
		{"toml twice", `toml.decode("a = 1\na = 2")`, "toml.decode: line 2: key a is already defined\n"},
		{"toml deep", `toml.decode("a" + ".a" * 100000 + " = 1")`, "toml.decode: a key has more than 200 parts\n"},
		{"toml deep array", `toml.decode("a = " + "[" * 300 + "]" * 300)`, "toml.decode: arrays and tables are more than 200 deep in each other\n"},
		{"toml none", `toml.encode({"a": [None]})`, "toml.encode: a: TOML has no None\n"},
		{"toml list", `toml.encode([1])`, "toml.encode: got list, want dict: TOML is a table\n"},
		{"toml big", `toml.encode({"a": 1 << 64})`, "toml.encode: a: 18446744073709551616 does not fit into 64 bits\n"},

		{"csv", `print(csv.decode("a,b\n1,\"x, \"\"y\"\"\nz\"\n"))`, `[{"a": "1", "b": "x, \"y\"\nz"}]` + "\n"},
		{"csv lists", `print(csv.decode("a;b\n1;2\n", header = False, separator = ";"))`, `[["a", "b"], ["1", "2"]]` + "\n"},
		{"csv empty", `print(csv.decode(""), csv.encode([]))`, "[] \n"},
		{"csv ragged", `csv.decode("a,b\n1\n")`, "csv.decode: line 2: wrong number of fields\n"},
		{"csv columns", `csv.decode("a,a\n1,2\n")`, "csv.decode: line 1: two columns are called \"a\"\n"},
		{"csv encode", `print(csv.encode([{"a": 1, "b": "x,y"}, {"c": True, "a": None}, struct(b = 1.5)]))`, "a,b,c\n1,\"x,y\",\n,,True\n,1.5,\n\n"},
		{"csv header", `print(csv.encode([[1, 2]], header = ["x", "y"]) + csv.encode([{"a": 1, "b": 2}], header = ["b"]))`, "x,y\n1,2\nb\n2\n\n"},
		{"csv one empty", `print(csv.decode(csv.encode([[""], ["x"]]), header = False))`, `[[""], ["x"]]` + "\n"},
		{"csv nested", `csv.encode([[1], [[2]]])`, "csv.encode: row 1: a list or a dict is no text\n"},
		{"csv separator", `csv.encode([], separator = ";;")`, "csv.encode: separator is one character, and neither a quote nor the end of a line: \";;\"\n"},

		{"regexp", `m = regexp.find("(a)(?P<x>b)?", "xa"); print(m.text, m.groups, m.names, m.start, m.end, regexp.find("q", "x"))`, `a ("a", None) {"x": None} 1 2 None` + "\n"},
		{"regexp all", `print([m.start for m in regexp.find_all("a*", "baac", limit = 2)], regexp.split(",", "a,b,c", limit = 2))`, `[0, 1] ["a", "b,c"]` + "\n"},
		{"regexp replace", `print(regexp.replace("(b)", "abab", by = "[${1}$$]", limit = 1), regexp.replace("b", "ab", by = lambda m: m.text * 3))`, "a[b$]ab abbb\n"},
		{"regexp bad", `regexp.find("(", "x")`, "regexp.find: missing closing ): `(`\n"},
		{"regexp by", `regexp.replace("b", "ab", by = lambda m: 1)`, "regexp.replace: lambda gives int, want string\n"},

		{"eq", `assert.eq(1, 2)`, "assert.eq: got 1, want 2\n"},
		{"eq types", `assert.eq("1", 1, msg = "port")`, "port: assert.eq: got \"1\" (string), want 1 (int)\n"},
		{"eq lists", `assert.eq([1, 2, 3], [1, 5, 4])`, "assert.eq: got [1, 2, 3], want [1, 5, 4]\n  at [1]: got 2, want 5\n  at [2]: got 3, want 4\n"},
		{"eq deep", `assert.eq({"name": "a long name of something", "ports": [80, 443], "x": 1}, {"name": "a long name of something", "ports": [80, 444, 1], "y": 1})`,
			`assert.eq: they differ
  got   {"name": "a long name of something", "ports": [80, 443], "x": 1}
  want  {"name": "a long name of something", "ports": [80, 444, 1], "y": 1}
  at ["ports"][1]: got 443, want 444
  at ["ports"][2]: missing, want 1
  at ["x"]: got 1, want no such key
  at ["y"]: no such key, want 1
`},
		{"eq structs", `assert.eq(struct(a = 1, b = 2), struct(a = 1, c = 3))`, "assert.eq: got struct(a = 1, b = 2), want struct(a = 1, c = 3)\n  at .b: got 2, want no such field\n  at .c: no such field, want 3\n"},
		{"eq texts", `assert.eq("a\nb\nc\nd\ne\nf\ng\n", "a\nb\nc\nD\ne\nf\ng\n")`, "assert.eq: the texts differ (- want, + got)\n    b\n    c\n  - D\n  + d\n    e\n    f\n  …\n"},
		{"ne", `assert.ne([1], [1])`, "assert.ne: both are [1]\n"},
		{"lt", `assert.lt(1, 2); assert.lt(2, 2)`, "assert.lt: 2 is not less than 2\n"},
		{"lt types", `assert.lt(1, "x")`, "assert.lt: int < string not implemented\n"},
		{"true", `assert.true([0]); assert.true([])`, "assert.true: got []\n"},
		{"false", `assert.false(0); assert.false("x")`, "assert.false: got \"x\"\n"},
		{"contains", `assert.contains({"a": 1}, "a"); assert.contains("abc", "d")`, "assert.contains: \"d\" is not in \"abc\"\n"},
		{"matches", `assert.matches("web-1", "^w"); assert.matches("web", "^x")`, "assert.matches: \"web\" does not match \"^x\"\n"},
		{"near", `assert.near(1, 1.05, tolerance = 0.1); assert.near(1, float("nan"))`, "assert.near: 1 and nan are more than 1e-09 apart\n"},
		{"fails", `print(assert.fails(fail, "a", "b", sep = "-", pattern = "a-b").kind); assert.fails(len, "")`, "fail\nassert.fails: len does not fail; it gives 0\n"},
		{"fails pattern", `assert.fails(fail, "x", pattern = "y")`, "assert.fails: \"x\" does not match \"y\"\n"},
		{"fails kind", `assert.fails(fail, "x", kind = "denied")`, "assert.fails: the failure is of kind \"fail\", not \"denied\": x\n"},
		{"fails exit", `assert.fails(exit, 3)`, "kind internal: exit(3)\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := run(t, tt.src); got != tt.want {
				t.Errorf("%s\ngot\n%s\nwant\n%s", tt.src, got, tt.want)
			}
		})
	}
}

// FuzzDecode: nothing that is read ends the process, and what is read can be written
// and read again.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"a: [1, {b: 2}]", "a: &a [*a]", "? [x]\n: y", "a = {b = [1, {c.d = 2}]}\n[[x]]\ny.z = 1", "a,b\n1,2", "<<: {a: 1}", "- |\n x\n- >-\n y", "!!set {a, b}", "[a]\n[a.b]\n[[a.b]]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		i := lang.New(lang.Options{Natives: All(), Args: []string{s}})
		src := `load("@std//yaml.star", "yaml"); load("@std//toml.star", "toml"); load("@std//csv.star", "csv")
def again(decode, encode, text):
    v = attempt(decode, text)
    if v.ok:
        w = decode(encode(v.value))
        if "nan" not in str(v.value) and w != v.value:
            fail(text, v.value, w)
again(yaml.decode, yaml.encode, args[0])
again(toml.decode, toml.encode, args[0])
attempt(csv.decode, args[0])
`
		if err := i.ExecFile(ctx, "t.star", []byte(src)); err != nil {
			t.Error(i.Report(err))
		}
	})
}
