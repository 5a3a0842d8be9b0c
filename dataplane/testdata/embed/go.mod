module example.net/embed

go 1.26.0

require example.org/pmd v0.0.0

replace example.org/pmd => ../../..
