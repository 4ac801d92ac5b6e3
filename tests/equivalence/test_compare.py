# ruff: noqa: RUF001
"""What is mathematically the same, and what is not."""

import pytest

from papo.equivalence import equivalent

SAME = r"""
7 | 7.0
7 | +7
7 | 07
0 | -0
0.5 | .5
1,000 | 1000
1{,}000 | 1000
1 {, }000 | 1000
1\,000\,000 | 1000000
10 000 | 10000
1e3 | 1000
1.5 \times 10^{3} | 1500
-\frac{1}{2} | \frac{-1}{2}
\frac{1}{2} | 0.5
\frac12 | 1/2
\dfrac{1}{2} | \tfrac { 1 } { 2 }
\frac { 16 } { 3 } | 5\frac{1}{3}
1 1/2 | 3/2
3\frac{5}{2} | 7.5
2 \sqrt { 221 } | 2\sqrt{221}
2\sqrt{3} | \sqrt{12}
2√3 | \sqrt{12}
3\sqrt{2}+\sqrt2 | 4\sqrt{2}
\frac{\sqrt{3}}{3} | \frac{1}{\sqrt{3}}
\sqrt[3]{8} | 2
sqrt(2) | \sqrt 2
\sqrt{2} | 1.414214
1/3 | 0.333333
2\pi | 6.283185
2\pi | 2pi
16\pi | 16π cm²
e^2 | e*e
\log_2 8 | 3
\log 100 | 2
\ln e^3 | 3
5! | 120
|-3| | 3
\lvert -3 \rvert | 3
\sin 30^\circ | 1/2
\sin(30°) | \cos 60°
\sin^2 x+\cos^2 x | 1
\sin 2x | 2 \sin x \cos x
\sin^{-1} x | \arcsin x
60^\circ | 60
60^{\circ} | 60 degrees
60° | 60\degree
5\text{ cm} | 5
5\mathrm{~cm} | 5
5 cm | 50 mm
5\text{cm}^2 | 5\text{cm²}
20\text{ cm}^{2} | 20 square centimeters
100 cm^2 | 1 dm^2
20 sq cm | 20
20m | 20
20m | 2000 cm
5 m/s | 5
5 km/h | 5
5 apples | 5
\$5 | 5
$12$ | 12
\(12\) | 12.
\boxed{3} | 3
\mathbf{3} | 3
20\% | 20
20% | 0.2
20 percent | 20%
x^{10} | x^10
x^2+2x+1 | (x+1)^2
x^2\frac{1}{3} | \frac{x^2}{3}
a^2-b^2 | (a-b)(a+b)
3a+b | b+3a
2^{x+1} | 2 \cdot 2^x
\frac{x+1}{x-1} | 1+\frac{2}{x-1}
\alpha+\beta | \beta+\alpha
θ | \theta
x_1+x_2 | x_{2}+x_{1}
(1,2) | (1, 2)
(3,100) | (3, 100)
\left( 2 , -\frac{1}{2} \right) | (2,-0.5)
(2,3) | 2,3
(-\infty, 3] | (-∞,3]
\{1,2\} | \{2,1\}
{1, 2} | \{2, 1\}
\{3\} | 3
1, 2 | 2, 1
1; 2 | 1, 2
[1,2]\cup[3,4] | [3,4] \cup [1,2]
x=1 \text{ or } x=2 | 1,2
1 or 2 | 2, 1
1 and 2 | 1,2
\pm 2 | 2,-2
1\pm\sqrt{2} | 1+\sqrt2, 1-\sqrt2
\pm1 \mp 2 | -1, 1
AB=5, BC=6 | 5,6
x_1=1,x_2=-3 | -3, 1
x = 3 | 3
3 = x | 3
x \approx 3 | 3
x \in \{3\} | 3
\angle ABC = 60^\circ | 60
\text{Area} = 5 | 5
x=3 | 2x=6
x=3 | 3=x
y=2x+1 | 2x-y+1=0
y=(x+3)(x-1) | y=x^2+2x-3
f(x)=3/(x-2)+1 | y=\frac{3}{x-2}+1
y=2x | f(x)=x+x
f=3/(x-2)+1 | \frac{x+1}{x-2}
x>3 | 3<x
x>3 | (3,\infty)
x \geq 3 | [3,\infty)
x<=3 | (-\infty,3]
1<x\le5 | (1,5]
5 \ge x > 1 | 1<x\le5
x<-1 \text{ or } x>2 | (-\infty,-1)\cup(2,\infty)
3:4 | 6:8
2:3 | \frac{2}{3}
1:2:3 | 2:4:6
2^{1000} | 4^{500}
Yes | yes
\text{Yes} | yes.
the triangle  ABC | \text{the triangle }ABC
(a)(b) | b*a
\sqrt{x-4} | (x-4)^{1/2}
\frac{1}{2}x | x/2
-x^2 | -(x^2)
2^{-1} | 0.5
2^-1 | 0.5
2^3^2 | 512
2 * -3 | -6
--2 | 2
(-8)^{1/3} | -2
(-8)^{2/3} | 4
x^{1/2} | \sqrt{x}
infinity | \infty
1\ \text{L} | 1000 cm^3
72 km/h | 20 m/s
60 mph | 60 \text{ miles per hour}
9.8 m/s^2 | 9.8
9.8\ \mathrm{m/s^2} | 980 cm/s^2
5 V | 5
5 V | 5\text{ volts}
5\mathrm{V} | 5 kg*m^2/s^3/A
3 kΩ | 3000\text{ ohms}
11°C | 11
11°C | 11^{\circ}\mathrm{C}
11 ℃ | 11°C
28 pct | 28\%
3+2\mathrm{i} | 2i+3
2\text{x}+1 | 1+2x
\number{24} | 24
30{}^\circ | 30
\frac{\text{24}}{\text{5}} | 4.8
60^o | 60
60^{o} | 60^\circ
1,\!234 | 1234
11,\! 111,\! 100 | 11111100
14{, }916 | 14916
\\frac{1}{2} | 0.5
12\pi \approx 37.7 | 12\pi
12\pi \approx 37.7 | 37.7
A=12\pi \approx 37.7 | 12\pi
x = \frac{1}{3} \approx 0.33 | 1/3
-2\le x\le7 | x \in [-2,7]
x>3 | x \in (3,\infty)
0<f(x)<1 | (0,1)
-x>-1 | x<1
1, 2, 3 | 1, 2, and 3
(1,2),(3,4) | (1,2), and (3,4)
45 | \angle 1 = 45^\circ
45 | \angle{ABC}=45^\circ
10 | \overline{AB}=10
(1,2) | \vec{a}=(1,2)
5 | |\vec a|=5
5 | \mathbf{x}=5
7 | \sin(A)=7
7 | \sin 2\theta=7
7 | \sin^2 A=7
7 | \tan 30°=7
7 | E(X)=7
7 | C(5,2)=7
7 | a(3)=7
7 | d(A,B)=7
7 | [ABC]=7
7 | \frac{a}{c}=7
7 | S_{\text{shaded}} = 7
7 | S_{\triangle{ABC}}=7
53 | \theta=\arctan(4/3) \approx 53^\circ
0.123 | 0.123 \approx 12.3\%
5 | 5 meters per second
5 m/s | 5 m/sec
20 km/h | 20 km/hr
20 | 20 km per hour
5 | 5 miles/hour
5 | 5 g/cm^3
5 | 5 \mathrm{~g}/\mathrm{cm}^{3}
5 | 5 dollars/hour
5\Omega | 5 ohms
7 | 7 (cm)
35 | 35 \, (\text{cm}^2)
25\% | 25% increase
5 cm^2 | 5 cm squared
5 m^3 | 5\text{ meters cubed}
0.75 | \frac34 \text{ or } 0.75
\emptyset | \varnothing
(1,2) | \langle 1,2\rangle
37.7 | \approx 37.7
35 | = 35
10^5 | 10⁵
10^{12} | 10¹²
20\%\text{ decrease} | 20\%
5\text{ m north} | 5\text{ m}
5 apples | 5\text{ red apples}
5\text{ years old} | 5 years
4\text{ square units} | 4\text{ cm}^2
5\text{ units} | 5\text{ boys}
5\text{ kWh} | 5\text{ kW}\cdot\text{h}
5 Boys | 5 boys
2 pounds | 2 lb
1 gallon | 3785.411784 mL
\{(1,2)\} | (1,2)
3:30 PM | 3:30 pm
3:30\text{ p.m.} | 3:30 pm
3:00 P.M. | 3:00\text{pm}
3:00 pm | 03:00 pm
v_A=3, v_B=4 | v_B=4, v_{A}=3
F_1=10, F_2=20 | 10, 20
S_{\text{shaded}}=7 | S=7
S_{\text{shaded}}=7 | S_{shaded}=7
S_{\triangle ABC}=7 | S_{ABC}=7
x_1=3 | x=3
t_1=2, t_2=5 | t_1=5, t_2=2
v_A:v_B=1:2 | 0.5
5 | 5\,\mathrm{N\cdot m}
5\text{ N·m} | 5 J
5\text{ m/s} | 5\,\mathrm{m\,s^{-1}}
5\text{ m/s} | 5\,\mathrm{m\cdot s^{-1}}
5000\text{ kg/m}^3 | 5\,\mathrm{g\cdot cm^{-3}}
5\text{ mol/L} | 5\text{ mol·L}^{-1}
5\text{ J/(kg·K)} | 5\,\mathrm{J/(kg\cdot K)}
5 | 5\,\mathrm{J/(kg\cdot{}^\circ C)}
5\,\mathrm{k\Omega} | 5000\,\Omega
5 kΩ | 5\ \text{k}\Omega
5 | 5 k\Omega
0.000005\text{ m} | 5\,\mu\text{m}
5\ \mu\mathrm{F} | 5\text{ μF}
5\ \mu\mathrm{C} | 0.000005\text{ C}
5 | 5\,\mathrm{W/(m^2\,K)}
2\vec{a}-\vec{b} | 2\vec a-\vec b
\bar{x} | \bar x
\angle ABC | \angle{ABC}
\angle ABC | ∠CBA
\angle ABC=60^\circ | \angle CBA=60^\circ
\log_a b | \log_{a} b
101_2 | 101_{2}
Na^+ | Na^{+}
C_n^2 | C_{n}^{2}
f'(x) | f^{\prime}(x)
\lambda/2 | λ/2
\rho gh | ρgh
\Delta x | Δx
\omega t | t ω
\mu | μ
\varphi+1 | 1+φ
AB \parallel CD | AB ∥ CD
AB \perp CD | AB⊥CD
\triangle ABC \cong \triangle DEF | △ABC≅△DEF
A \cap B | A∩B
p \Rightarrow q | p ⇒ q
a \to b | a \rightarrow b
x>3 | x＞3
x \ge 3 | x≧3
3/4 | 3／4
7/8 | ⅞
2/5 | ⅖
3 | 1½ + 1½
\sqrt[3]{5} | ∛5
-5 | ﹣5
9^{9^{9^{9}}} | 9^{9^{9^9}}
(3,\infty) | \{x|x>3\}
x>3 | \left\{ x \mid x>3 \right\}
\{x \in \mathbb{R} \mid 1<x<3\} | (1,3)
\{x|x>3\} | \{x \mid 3<x\}
\{x|x<-1\text{ or }x>2\} | (-\infty,-1)\cup(2,\infty)
[0,\infty) | \{y : y\ge0\}
\mathbb{R} | (-\infty,+\infty)
\mathbb{R} | \text{all real numbers}
\mathbb{R} | x \in \mathbb{R}
1/3 | 0.\overline{3}
1/6 | 0.1\overline{6}
1/3 | 0.\dot 3
12/11 | 1.\overline{09}
(1,2) | A(1,2)
A(1,2) | A=(1,2)
(2,0),(0,2) | A(2,0),B(0,2)
n!/2 | \frac{n!}{2}
n! | n(n-1)!
AB, CD | AB \text{ and } CD
red and blue | blue and red
NO | No
ON | on
AB\cdot CD | CD\cdot BA
\frac{PV}{RT} | \frac{VP}{TR}
\frac{AB}{CD}=2 | 2
1<x<3 | x>1 \text{ and } x<3
(1,3] | x \le 3, x>1
x>1 \text{ and } x<3 | 1<x \text{ and } x<3
x<-1 \text{ or } x>2 | x>2, x<-1
x>2 \text{ and } x \ne 3 | x \ne 3 \text{ and } x>2
5 mins | 300 secs
\mathbb{R} | R
x=5\text{ cm} | x=50\text{ mm}
x_1 | x₁
1/3 | ⅓
1/2 | 1⁄2
1,2 | 1、2
1:4 | 1∶4
24 months | 2 years
5 dollars | 500 cents
10-20 | 10–20
\frac{1}{2} m | 0.5
2\sqrt{3} m | 2\sqrt{3}
60 | m\angle ABC = 60^\circ
60 | m\angle 1=60
\frac{ab}{c} | ab/c
\frac{mv}{qB} | mv/(qB)
xy | x \cdot y
\frac{2h}{g} | 2h/g
3(xy)^3 | 3x^3y^3
2\pi r | 2(pi)r
60⁰ | 60°
8-3=5 | 5
16 | 25-9=16
3 | x=5-2
2 \text{ MJ} | 2000 kJ
5 m/s | 5 m s^{-1}
2x\ge6 | x\ge3
-2x+4 \le 0 | x \ge 2
x \ne 3 | x \neq 3
x != 3 | x \ne 3
3 \ne x | x \ne 3
(p,q)=(3,2) | (3,2)
(x,y)=(5,8) \text{ and } (8,5) | (8,5),(5,8)
S_{ABC}:S=7:32 | 7:32
\frac{NO}{BO}=\frac{1}{2} | 0.5
A:B=2 | 2
\sin A=\frac12 | 1/2
f(2)=7 | 7
P(A)=0.5 | 1/2
|AB|=5 | 5
2+3=5 | 5
x=3, y=4 | 3, 4
x=3, y=4 | (3,4)
x=3, y=4 | y=4, x=3
x_1=3, x_2=4 | x_2=3, x_1=4
x_1=3, x_2=4 | x=4 \text{ or } x=3
p=5, q=2; p=7, q=2 | (5,2),(7,2)
(11,7)or(7,11) | (7,11), (11,7)
$1$ $-1$ | 1, -1
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \left[\begin{array}{cc}1 & 2 \\ 3 & 4\end{array}\right]
\begin{bmatrix}1&2\\3&4\\\end{bmatrix} | \begin{matrix}1&2\\3&\sqrt{16}\end{matrix}
\begin{pmatrix}1\\2\end{pmatrix} | (1,2)
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \frac{1}{2}\begin{pmatrix}2&4\\6&8\end{pmatrix}
\begin{pmatrix}6&8\\10&12\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}+\begin{pmatrix}5&6\\7&8\end{pmatrix}
\begin{pmatrix}-4&-4\end{pmatrix} | -\begin{pmatrix}5&6\end{pmatrix} + [\begin{matrix}1&2\end{matrix}]
\begin{pmatrix}4&-1\\5&-1\end{pmatrix} | \begin{pmatrix}1&2\\1&3\end{pmatrix}\begin{pmatrix}2&-1\\1&0\end{pmatrix}
(ax+by, cx+dy) | \begin{pmatrix}a&b\\c&d\end{pmatrix} \cdot \begin{pmatrix}x\\y\end{pmatrix}
(2,4) | \begin{pmatrix}4\\8\end{pmatrix}/2
(2,4) | -\begin{pmatrix}-1\\-2\end{pmatrix} \times 2
A^{-1}=\begin{bmatrix}1&2\\3&4\end{bmatrix} | \frac12\left[\begin{array}{cc}2&4\\6&8\end{array}\right]
M^T = \begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
|x|>3 | x<-3 \text{ or } x>3
|x| \ge 3 | (-\infty,-3]\cup[3,\infty)
|x|<3 | -3<x<3
|x|<3 | (-3,3)
1 \le |z| < \frac{3}{2} | z \in (-\frac{3}{2}, -1] \cup [1, 1.5)
F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1} | F_n = \sum_{k=0}^{n-1} F_{n-k-1} F_k
5 | 5€
5 | £5
1000.99 | 1,000.99 €
12:30 | 12:30
2:3 | 6:9
100! | 100 \cdot 99!
10^{-20}\pi | \pi \times 10^{-20}
\sin\pi | 0
0.001667 | 1/600
y=2x+1 | 10^{30}y=10^{30}(2x+1)
3mg | 3gm
3mg | 3 mg
3mg | 3m \cdot g
3mg | \frac{6mg}{2}
3mg | 3\text{ mg}
\frac{1}{2}mg | \frac{mg}{2}
\frac{1}{2} mg | 0.5mg
\frac{mg\sin\theta}{2} | \frac{1}{2}mg\sin\theta
\frac{\sqrt{3}mg}{3} | \frac{\sqrt{3}}{3}mg
2mg+ma | ma+2mg
2mg+mg | 3mg
3mg-kx | -kx+3mg
F-2mg=0 | F=2mg
T=3mg | \frac{6mg}{2}
x=\frac{2mg}{k} | \frac{2mg}{k}
\frac{2mg}{k} | 2mg/k
\frac{2mg}{h} | 2mg/h
\mu mg\cos\theta | \mu mg \cos(\theta)
\mu mg | mg\mu
\frac{1}{3}ml^2 | \frac{ml^2}{3}
\frac{1}{12}mL^2 | \frac{mL^2}{12}
\frac{1}{2}mV^2 | \frac{mV^2}{2}
2\pi rh | 2\pi hr
2mn | 2nm
4km | 4mk
3hr | 3 h
20ml | 20\text{ mL}
250ml | 250
25 mg | 25
3 lb | 3
\frac{1}{2} hr | 0.5
1\frac{1}{2} hr | 1.5
3km | 3
5cm | 5
5cm | 50mm
2\pi km | 2\pi
3 nm | 3 \times 10^{-9} m
2x cm | 2x
3 kg | 3000g
72km/h | 20m/s
5 J kg^{-1} | 5
5 A hr | 5
5 W mL^{-2} | 5
5 N mm^{-1} | 5 N/mm
5 km/hr^2 | 5
\sqrt{x-10}+1 | 1+\sqrt{-10+x}
y=\sqrt{x-10}+1 | f(x)=\sqrt{x-10}+1
\ln(x-20) | \ln(-20+x)
\ln(-20-x) | \ln(-x-20)
\arccos(x-5) | \arccos(-5+x)
2\arcsin(x/2) | 2\arcsin(0.5x)
\arcsin\frac{a}{b} | \arcsin(a/b)
1,\sqrt{x-10} | \sqrt{x-10},1
x=\frac{-b\pm\sqrt{b^2-4ac}}{2a} | \frac{-b\pm\sqrt{b^2-4ac}}{2a}
x=\sqrt{c^2-a^2-b^2} | \sqrt{c^2-a^2-b^2}
\sqrt{c^2-t^2} | \sqrt{(c+t)(c-t)}
\sqrt{s(s-a)(s-b)(s-c)} | \sqrt{(s-a)(s-b)(s-c)s}
\sqrt{\frac{GM}{R}} | \frac{\sqrt{GMR}}{R}
\sqrt{a^2b} | a\sqrt{b}
\sqrt{x^2y^2} | |xy|
|x-8| | |8-x|
\sqrt{x^4+1}-x^2 | \frac{1}{\sqrt{x^4+1}+x^2}
\cosh^2 x-\sinh^2 x | 1
\frac{e^{x^2}}{e^{x^2-1}} | e
\frac13\text{ km} | 0.333333\text{ km}
\frac13\text{ km} | 333.333333\text{ m}
\frac13 | 33.333333\%
\frac{1}{7}\text{ h} | 0.142857\text{ h}
632.8\text{ nm} | 632.800000\text{ nm}
12.5\% \approx 13\% | 13\%
\frac{1}{8} \approx 13\% | 0.125
v_{\max}=5 | v_{max}=5
v_{\text{max}}=5 | v_{\max}=5
v_{\max}=5 | v=5
I_{\max}=2\text{ A} | I_{max}=2\text{ A}
k=1 or k=-3 | k_1=-3, k_2=1
2 or 3 | m_1=3, m_2=2
m=2 or 3 | m_1=3, m_2=2
a_1=1, a_2=3 | 3, 1
k=1\pm\sqrt2 | k_1=1-\sqrt2, k_2=1+\sqrt2
1,1,2 | \lambda_1=1, \lambda_2=1, \lambda_3=2
\lambda=1, 2 | \lambda_1=2, \lambda_2=1
(x_1,x_2)=(1,3) | x_1=1, x_2=3
(1,2,3) | x_1=1, x_2=2, x_3=3
(10,20) | F_1=10, F_2=20
x_{1,2}=1\pm\sqrt2 | x=1\pm\sqrt2
10\text{ cm below the mirror} | 10\text{ cm}
10\text{ m below sea level} | 10
10\text{ m below sea level} | 10\text{ m below the sea level}
30^\circ\text{ below the horizontal} | 30^\circ
5 boys | 5 girls
x=5\text{ boys} | x=5\text{ students}
15\text{ people} | 15\text{ persons}
2\text{ p.m.} | 2\text{ PM}
10\text{ N upward} | 10\text{ newtons up}
5\text{ m north} | 500\text{ centimeters north}
12 km | 12 kilometers north
30 km/h | 30\text{ kilometers per hour east}
5\text{ kg of salt} | 5\text{ kilograms}
5\text{ cm} | 5\text{ centimeters in length}
60 mph | 60\text{ miles an hour}
8\text{ hrs} | 8\text{ hours a day}
45^\circ | 45^\circ\text{ N of E}
90^\circ\text{ clockwise} | 90^\circ\text{ CW}
5\text{ kPa} | 5\text{ kilopascals}
2\text{ atm} | 2\text{ atmospheres}
1\text{ MeV} | 1000000\text{ electronvolts}
1\text{ kWh} | 3600000 J
F_N=5 | F_n=5
S_{\triangle ABC}=6 | S_{\triangle BAC}=6
S_{\text{shaded}}=7 | S_{\text{shaded region}}=7
S_{\text{shaded}}=7 | S_{阴影}=7
UP | Up
In | IN
"""
DIFFERENT = r"""
a_{100}=3 | a_{1000}=3
S_{ABC}=6 | S_{ABCD}=6
20\%\text{ increase} | 20\%\text{ increase/decrease}
30^\circ\text{ clockwise} | 30^\circ\text{ clockwise/counterclockwise}
30^\circ\text{ clockwise} | 30^\circ\text{ counter-clockwise}
10\text{ N upwards} | 10\text{ newtons downward}
2\text{ a.m.} | 2\text{ PM}
3 hours before | 3 hours after
5\text{ m north} | 5\text{ km north}
5\text{ kg of salt} | 5\text{ g of salt}
5\text{ dollars each} | 5\text{ euros each}
5 m | 5\text{ acres}
5 J | 5\text{ MeV}
2A | 2\,\mu\text{F}
2\text{ kV} | 2\text{ megavolts}
8 mg | 8 gm
Aa | AA
S_{\triangle ABC}=6 | S_{\triangle ABD}=6
S_{\text{shaded}}=7 | S_{\text{total}}=7
HF | Hf
(x_1,x_2)=(1,3) | x_1=3, x_2=1
(x_1,x_2)=(1,3) | x_2=1, x_1=3
(1,2,3) | x_1=1, x_2=3, x_3=2
k_1=1, k_2=-3 | k_1=-3, k_2=1
x=3, y=4 | 4, 3
v_{\max}=5 | v_{\min}=5
10 | 10 below zero
10 | 10 degrees below zero
10^\circ | 10^\circ\text{ below zero}
20\text{ degrees Celsius} | 20\text{ degrees Celsius below zero}
10 | 10\text{ below}
7 | 8
7 | -7
1000000 | 1000001
12345678901234567890123 | 12345678901234567890124
1/3 | 0.33
1/3 | 0.33333
\sqrt{2} | 1.414
0.333333 | 0.333334
1.414213 | \sqrt{2}
\sqrt{2} | 1.414214*1
x=x | x=1
x=x | y=y
x=1/0 | 2x=2/0
5 cm | 5 m
5 cm | 5 kg
5 cm | 5 cm^2
20m | 20 cm
5 million | 5
5 dozen | 5
20\% | 21
20\% | 0.02
3m | 3n
3k | 3
2m+1 | 3
10 000 | 0
(1,2) | (2,1)
(1,2) | (1,2,3)
(1,2) | 1
[1,2) | [1,2]
[1,2] | 1,2
\{1,2\} | \{1,3\}
1, 1, 2 | 1, 2, 2
1, 2 | 1
1, 2 | (2, 1)
\pm 2 | 2
cat | act
AB | BA
yes | no
x=3 | y=3
x=3 | x=4
x=3 | -3
1=2 | 3=5
y=2x+1 | y=2x-1
y=2x+1 | 2x-y=1
x>3 | x\ge3
x>3 | x<3
x>3 | y>3
x>3 | 3
1<x<5 | (1,5]
1:2:3 | 1:2:4
1:2:3 | 1:2
|x| | x
\sqrt{x^2} | x
x^2 | x^3
x | y
\frac{1}{0} | \frac{2}{0}
0/0 | 1
\sqrt{-1} | \sqrt{-2}
\ln 0 | \ln(-1)
9^{9^{9^{9}}} | 1
9^{9^{9^{9}}} | 9^{9^{9^8}}
1e400 | 2e400
10^{400} | 10^{401}
2^x | 2x
xy | x+y
\sin x | \cos x
\sin 30 | \frac{1}{2}
f(x) = x | g(x) = x+1
x \ne 1 | 1
5\text{=}6 | 6
5\text{(}6 | 5
\triangle ABC | \triangle ABD
y=2x+1 | 10^{30}\pi x=y
x=3 | 10^{30}\pi x=y
\sin^2x+\cos^2x=1 | x=3
x+1=x+1.0 | y=7
x-3y+24=0 | 0
x-3y+24=0 | x-3y+24
x^2=4y | x^2
x^2=4y | 4y
7=11a+c | 11a+c
a^2+b=0 | 0
x+y=7 | 7
x(x-1)=0 | 0
x/y=2 | 2
2+3=6 | 6
1=2=3 | 3
\sin 0 | 1.6\times10^{-19}
1-\cos 0 | 10^{-13}
\frac13 \approx \frac12 | 1/2
10^{-19} \approx 3\times10^{-19} | 10^{-19}
3 | x = 5 \approx 10^{320}
3 | \sin 1e320^\circ
10-20 | 20-30
3-2 | 2-1
10-20 | -10
7:05 | 1.4
2gh | 2
\frac{\sqrt3}{4}s^2 | \frac{\sqrt3}{4}
5K | 5
3 hours | 3 years
5 dollars | 5 cents
3 tons | 3 kg
3 | 3 fifths
5 | 5 dozens
(IV) | (VI)
I and IV | I and VI
cat, dog | act, god
on/off | no/off
0<x<1 | 0,1
25\%+1 | 26
2(ab)^2 | 2ab^2
60⁰ | 1
10-20 cm | 20-30 cm
10%-20% | 20%-30%
2020-01-15 | 2020-02-14
5\text{ MJ} | 5\text{ J}
5\text{ GHz} | 5\text{ MHz}
3 | \sqrt{x}=3
3 | \ln x=3
3 cm | 3 cm ≈ 3 meters
3 meters | 3 cm ≈ 3 meters
7 | 7(abcd)
2 | 2(three)
x > 3 | -x > 3
x > 3 | -x > -3
x \ge 3 | x > 3
-x > -3 | -x \ge -3
x>3 | 10^{30}\pi x>y
x \in [-2,7] | -2 \le y \le 7
x \ne 3 | x = 3
x \ne 3 | 3
x \ne 3 | x \ne 4
3+2\mathrm{i} | 5
2\text{x}+1 | 3
2\text{m}+1 | 3
2 m + 1 cm | 3
$$1$$ $$-1$$ | 0
$3$ $4$ | 34
3 1/2 | 31/2
3 4 | 34
1 000 0 | 10000
1.6\times10^{-19} | 0.000000
1.6\times10^{-19} | 0
\sqrt{2}\times10^{-19} | 0
0.000012 | 0.0000124
5 | 5 squared
5 | 5\text{k}
5 | 5\text{ more than 2}
5 | 5 factorial
5 | 5 hundredths
3 m/s | 3 km/h
3 m/s^2 | 3 m/s
5 V | 5 A
11°C | 11°F
60° | 60 rad
12:30 | 2:5
12:30 | 12:45
x=3,y=4 | 4,3
0 | 1e-400
0 | 10^{-350}
0 \approx 1 | 0
12\pi \approx 37 | 12\pi
x=3, y=4 | x=4, y=3
AB=5, BC=6 | 6,5
100! | 100!+1
170! | 170!-1
12\pi \approx 37.7 | 37.6
5 \approx 7 | 7
5 \approx 7 | 5
x = 1/3 \approx 11 | 11
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\4&3\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | (1,2,3,4)
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2&3&4\end{pmatrix}
\begin{vmatrix}1&2\\3&4\end{vmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | 2\begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | -\begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}2&3\\4&5\end{pmatrix} - 1
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix} +
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix} cm
\begin{pmatrix}2&-1\\1&0\end{pmatrix}\begin{pmatrix}1&2\\1&3\end{pmatrix} | \begin{pmatrix}4&-1\\5&-1\end{pmatrix}
\begin{pmatrix}2,4\end{pmatrix} | \begin{pmatrix}2\\4\end{pmatrix}^2
(5,5) | \begin{pmatrix}1&2\end{pmatrix}\begin{pmatrix}5&5\end{pmatrix}
(1,2) | \begin{pmatrix}1\\2\\3\end{pmatrix}+\begin{pmatrix}0\\0\end{pmatrix}
20\%\text{ decrease} | 20\%\text{ increase}
30^\circ\text{ clockwise} | 30^\circ\text{ counterclockwise}
30^\circ\text{ north of east} | 30^\circ\text{ east of north}
5\text{ m north} | 5\text{ m south}
5 N upward | 5 N downward
\$5\text{ profit} | \$5\text{ loss}
3 A to the left | 3 A to the right
0.5\text{ into the page} | 0.5\text{ out of the page}
5\text{ eV} | 5\text{ MeV}
5\text{ MeV} | 5\text{ meV}
1\text{ kWh} | 1\text{ J}
3\text{ pF} | 3\text{ nF}
5\text{ units left} | 5\text{ units right}
5\text{ acres} | 5\text{ m}^2
5\text{ euros} | 5\text{ dollars}
1<x<2 | x\in\{1,2\}
x\in(1,2) | 1,2
x\in(-1,3) | x=-1,x=3
x\in(-1,3) | x\in\{-1,3\}
(-1,3) | x_1=-1,x_2=3
(1,2) | x=1 \text{ or } x=2
\{-3,3\} | (-3,3)
x=-3, x=3 | (-3,3)
\pm 3 | (3,-3)
x=\pm3 | -3<x<3
x<-1 \text{ or } x>2 | x<-1 \text{ and } x>2
x>1 \text{ and } x<3 | x>1 \text{ or } x<3
(-\infty,-1)\cup(2,\infty) | x<-1 \text{ and } x>2
x>1 \text{ and } x<3 | x>1 \text{ and } y<3
x>1 \text{ and } x\le3 | 1<x<3
|x|>3 | x<-3 \text{ and } x>3
2:40 pm | 1:20 pm
3:30 pm | 3:30 am
9:45\text{ AM} | 9:45\text{ PM}
9:45\text{ a.m.} | 9:45\text{ p.m.}
3:30 pm | 3:30
v_A=3 | v_B=3
v_A:v_B=1:2 | v_B:v_A=1:2
\frac{m_1}{m_2}=3 | \frac{m_2}{m_1}=3
\frac{m_1}{m_2}=3 | \frac{m_1}{v_2}=3
v_A=3, v_B=4 | v_A=4, v_B=3
F_1=10, F_2=20 | F_1=20, F_2=10
y_1=x+1, y_2=2x | y_1=2x, y_2=x+1
5\,\mathrm{N\cdot m} | 5\,\mathrm{N/m}
5\,\mu\text{m} | 5\text{ m}
5\,\mathrm{m\,s^{-1}} | 5\,\mathrm{m\,s^{-2}}
5\,\mathrm{k\Omega} | 5\,\Omega
5\,\mathrm{J/(kg\cdot K)} | 5\,\mathrm{J\cdot K/kg}
5\,\mu\text{F} | 5\text{ pF}
\angle ABC | \angle BAC
\vec{a} | \bar{a}
\vec{a} | \vec b
\Delta x | \triangle x
AB \parallel CD | AB \perp CD
x_{1}2 | x_12
x^{1}0 | x^10
f'(x) | f''(x)
\lambda/2 | μ/2
7/8 | ⅝
\{x|x>3\} | (-\infty,3)
\{x|x>3\} | y>3
\{x \in \mathbb{Z} | 1<x<3\} | (1,3)
\mathbb{R} | \mathbb{Z}
\mathbb{R}^+ | \mathbb{R}
\mathbb{R}\setminus\{0\} | \mathbb{R}
1/3 | 0.\overline{34}
0.\dot{1}2\dot{3} | 0.\dot{1}
(1,2) | A(2,1)
A(1,2) | B(1,2)
A(2,0), B(0,2) | A(0,2), B(2,0)
C(5,2) | 10
n! | (n+1)!
red, blue | blue, red
CO | Co
red or blue | red and blue
20^\circ\text{C} | 20^\circ\text{C below zero}
10 | 10 below
5 | 5 negative
5 | 5\text{ factorials}
red or blue | red, blue
1.5! | \sqrt{\pi} \cdot 0.75
CO and AB | Co and AB
AB\cdot CD | AC\cdot BD
\frac{AB}{AC} | \frac{DB}{DC}
AB=CD | AC=BD
(x_1,y_1)=(1,2) | (x,z)=(1,2)
x=5\text{ cm} | x=5\text{ m}
x>5\text{ cm} | x>5\text{ m}
A^{-1} = 5 | A^2 = 5
x^{2} = 5 | 5
|x|>3 | x>3
|x|>3 | (-\infty,-3)
|x|<3 | -3, 3
|x|<3 | (-3,3]
|x|<3 | (-\infty,3)
|x|>3 | |y|<3
|AB|<3 | (-3,3)
\angle A_1 B_1 C_1 | \angle B_1 A_1 C_1
\sum a_k b_j | \sum a_j b_k
53 | 5€3
\frac{3}{2}mg | 1.5
\frac{1}{2} mg | 0.5
\frac{1}{3}ml^2 | \frac13
\frac{1}{12}mL^2 | \frac{1}{12}
\frac{1}{2}mV^2 | 0.5
\frac{2}{3}ml | \frac23
2\pi hr | 2\pi
F=2mg | F=2
F=2mg | 2
\frac{2mg}{k} | 2
3mg | 4mg
3mg | 3\text{ g}
3 cm | 3 cm per hour
5 m/mm^2 | 5 m^2/mm
3hr | 3 m
2kg | 2kx
4km | 4kn
4min | 4nim
|xy| | xy
|x|+|y|=1 | |x+y|=1
\sqrt{a^2b^2} | ab
\frac{|a|}{b} | \frac{a}{|b|}
|x-8| | 8-x
|x+10| | x+10
|x+30| | x+30
y=|x-8|+|x+8| | y=16
f(x)=|x-7| | f(x)=7-x
\sqrt{x^2-20x+100} | 10-x
\sqrt{x-10} | \sqrt{x-11}
\sqrt{b^2-4ac} | \sqrt{b^2-5ac}
|ab|<1 | ab<1
632.8\text{ nm} | 500.123456\text{ nm}
3\text{ nC} | 400.123456\text{ nC}
250\text{ mL} | 250.499999\text{ mL}
25\text{ mg} | 25.444444\text{ mg}
0.4\text{ mm} | 0.000000\text{ m}
\frac13 | 33.333341\%
0.5 \approx 1\% | 0.5
0.5 \approx 1\% | 1
0.5 \approx 1\% | 0.01
0.5 \approx 1\% | 50\%
(1 | 1
1) | 1
1 + | 1
,1 | 1
 | 1
"""


def pairs(table):
    return [tuple(part.strip() for part in line.rsplit(" | ", 1)) for line in table.splitlines() if line]


@pytest.mark.parametrize(("a", "b"), pairs(SAME))
def test_same(a, b):
    assert equivalent(a, b)
    assert equivalent(b, a)


@pytest.mark.parametrize(("a", "b"), pairs(DIFFERENT))
def test_different(a, b):
    assert not equivalent(a, b)
    assert not equivalent(b, a)


def test_what_is_written_the_same_is_the_same():
    for text in ("9^{9^{9^{9}}}", "1/0", "\\frac{", "x" * 20_000, "①②", "", "\\triangle ABC"):
        assert equivalent(text, text)
    assert equivalent("① ②", "①②")
    assert equivalent("ISOSCELES triangle", "isosceles Triangle")
    assert not equivalent("x=m", "x=M")  # both can be read: capitals are other variables


def test_a_name_that_is_no_text_is_one():
    assert not equivalent("x_{\ud800}", "x")
    assert equivalent("2x_{\ud800}", "x_{\ud800}+x_{\ud800}")


def test_long_answers_are_not_looked_into():
    assert equivalent("7", "0" * 50 + "7")
    assert equivalent("7", " " * 9_000 + "7")
    assert not equivalent("7", " " * 10_000 + "7")
    assert not equivalent("1", "1" + "+0" * 499 + "+0" * 20)  # over a thousand characters
    assert equivalent("1", "1" + "+0" * 199)
    assert not equivalent("1", "1" + "+0" * 200)  # over four hundred tokens
    assert equivalent("1", "1" + " " * 995 + "+0 *1".replace(" ", ""))  # a thousand characters
    assert equivalent(r"\{\{(1,2)\}\}", r"\{\{(1,2.0)\}\}")
    assert not equivalent(r"\{\{\{(1,2)\}\}\}", r"\{\{\{(1,2.0)\}\}\}")  # too many levels
    assert equivalent("x", "(" * 29 + "x" + ")" * 29)
    assert not equivalent("x", "(" * 30 + "x" + ")" * 30)
    thirty = ",".join(map(str, range(1, 31)))
    assert equivalent(thirty, ",".join(map(str, range(30, 0, -1))))
    assert not equivalent(thirty + ",31", "31," + thirty)


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("1.22", "1,22", True),
        ("1000.99", "1000,99", True),
        ("0.111", "0,111", True),
        ("-2.50", "-2,5", True),
        ("1.22", "1, 22", False),
        ("1.22", "1,23", False),
        ("1.234", "1,234", False),
        ("122", "1,22", False),
        ("1,22", "1.22", False),
        ("0,1", "0.1", False),
        ("1.5", f"{'1' * 50},{'1' * 50}", False),
    ],
)
def test_an_answer_may_have_a_decimal_comma_where_a_decimal_is_asked_for(gold, answer, same):
    """A gold with a comma is a list, and 0.1 is no 0 and 1."""
    assert equivalent(gold, answer) is same


def test_a_scale_may_be_beyond_the_floats():
    unit = "\\text{" + "Gm^9 " * 4 + "}"
    assert not equivalent(f"0.{'0' * 50}123456 {unit}", f"0.{'0' * 50}123457 {unit}")
    assert equivalent(f"0.{'0' * 50}123456 {unit}", f"0.{'0' * 50}1234560 {unit}")


def test_so_many_matrices_of_such_a_size_are_multiplied():
    def matrix(rows, columns, cell="1"):
        lines = "\\\\".join("&".join([cell] * columns) for _ in range(rows))
        return f"\\begin{{pmatrix}}{lines}\\end{{pmatrix}}"

    assert equivalent(matrix(4, 4, "4"), matrix(4, 4) * 2)
    assert not equivalent(matrix(4, 5, "4"), matrix(4, 4) + matrix(4, 5))
    assert equivalent(matrix(2, 2, "512"), matrix(2, 2) * 10)
    assert not equivalent(matrix(2, 2, "1024"), matrix(2, 2) * 11)


def test_what_an_answer_says_again_it_has_said():
    assert equivalent("1, 2", "2, 1, 2")
    assert equivalent(r"\{1, 2\}", r"\{1, 1.0, 2\}")
    assert not equivalent("1, 2", "1, 1")
    assert not equivalent("1, 1, 2", "1, 2")  # what is asked for twice
    assert not equivalent("1, 2", "1, 2, 3")
    assert not equivalent("(1, 2)", "(1, 2, 2)")
