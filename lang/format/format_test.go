package format

import (
	"testing"
)

func TestSource(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"x=1":                        "x = 1\n",
		"f( a,b )\n\n\n\ng()":        "f(a, b)\n\ng()\n",
		"def f(x): return x":         "def f(x):\n    return x\n",
		"x = 'one'  # a comment\n":   "x = \"one\"  # a comment\n",
		"while x<3 :\n  x+=1 # up\n": "while x < 3:\n    x += 1  # up\n",
		"def f():\n  while   (a and\n    b):\n      while True: pass\n  # end\n": "def f():\n    while (a and\n                          b):\n        while True:\n            pass\n\n    # end\n",
		"x = 'while y:' # while z:\nwhile x: pass":                               "x = \"while y:\"  # while z:\nwhile x:\n    pass\n",
		"日本 = 1; \nif 日本:\n  while not 日本: break":                                "日本 = 1\nif 日本:\n    while not 日本:\n        break\n",
		"run(\"nginx\",name='web',\n  publish=[ '80:80' ])":                      "run(\n    \"nginx\",\n    name = \"web\",\n    publish = [\"80:80\"],\n)\n",
		"for c in containers(): c.stop()":                                        "for c in containers():\n    c.stop()\n",
		"\"\"\"Doc.\"\"\"\nload('@std//x.star','b','a')\nprint(a,b)":             "\"\"\"Doc.\"\"\"\n\nload(\"@std//x.star\", \"a\", \"b\")\n\nprint(a, b)\n",
		"if x:\n\tf()\n\tif y:\n\t\tg()\n\t\th = '''\n\ta'''\n":                  "if x:\n    f()\n    if y:\n        g()\n        h = \"\"\"\n\\ta\"\"\"\n",
		"": "",
	} {
		got, err := Source("t.star", []byte(src))
		if err != nil || string(got) != want {
			t.Errorf("%q: %v\n got %q\nwant %q", src, err, got, want)
			continue
		}
		if again, err := Source("t.star", got); err != nil || string(again) != want {
			t.Errorf("%q: the second time %v, %q", src, err, again)
		}
	}
	for src, want := range map[string]string{
		"x = ":              "t.star:1:5: got end of file, want primary expression",
		"__nsh_while__ = 1": "t.star: the name __nsh_while__ is taken",
	} {
		if _, err := Source("t.star", []byte(src)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
}

func FuzzSource(f *testing.F) {
	for _, s := range []string{"x=1", "while x: pass", "def f(a,*b,**c):\n  '''doc'''\n  return [i for i in a if b]", "if x:\n  pass\nelif y: pass\nelse:\n  pass # z", "load('a', b='c')"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		out, err := Source("t.star", []byte(src))
		if err != nil {
			return
		}
		again, err := Source("t.star", out)
		if err != nil || string(again) != string(out) {
			t.Errorf("%q becomes %q, and that %q (%v)", src, out, again, err)
		}
	})
}
